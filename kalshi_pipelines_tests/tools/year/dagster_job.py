"""``dagster job execute`` under the simulated clock: ``python -m ...tools.year.dagster_job JOB``."""

import sys

from kalshi_pipelines_tests.tools.year import clock

clock.install()

from dagster._cli import main  # noqa: E402  (the clock must be replaced first)

if __name__ == "__main__":
    sys.argv = ["dagster", "job", "execute", "-m", "kalshi_pipelines", "-j", sys.argv[1]]
    main()  # type: ignore[no-untyped-call]

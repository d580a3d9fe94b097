"""A program that publishes as a user without rights, or with a limit on the size of files, and prints the error.

``python -m kalshi_pipelines_tests.support.lake.limited_program DATABASE FOLDER user|BYTES``
"""

import os
import resource
import sys
from pathlib import Path

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.units import trading_day
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.lake.lakes import MIDNIGHT_US, local_lake


def main() -> None:
    """Run the program."""
    url, folder, limit = sys.argv[1:]
    trading_day(MIDNIGHT_US)  # the file of the time zone is read before the rights are given up
    if limit != "user":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    elif os.geteuid() == 0:
        # Root may read and write everything, so the program becomes the user "nobody".
        os.setgid(65_534)
        os.setuid(65_534)
    engine = open_engine(url)
    try:
        publish_history(local_lake(Path(folder)), engine, PRICES)
    except ExpectedError as error:
        sys.stdout.write(f"{type(error).__name__}: {error}")
    finally:
        engine.dispose()


if __name__ == "__main__":
    main()

"""The entry point of ``python -m kalshi_pipelines.execution``, the command line of trading.

``service/cli.py`` parses the arguments. The command ``kill`` has an entrance of its own, which loads nothing else.
"""

import sys


def run() -> int:
    """Run one command, and return its exit status."""
    if sys.argv[1:2] == ["kill"]:
        from kalshi_pipelines.execution.service.stopping.kill_command import main as kill  # noqa: PLC0415

        return kill(sys.argv[2:])
    from kalshi_pipelines.execution.service.cli import main  # noqa: PLC0415

    return main()


if __name__ == "__main__":
    sys.exit(run())

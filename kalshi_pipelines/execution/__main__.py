"""The entry point of ``python -m kalshi_pipelines.execution``, the command line of trading.

``service/cli.py`` parses the arguments.
"""

import sys

from kalshi_pipelines.execution.service.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m kalshi_pipelines.cli`` is the same as the command ``kalshi-pipelines``."""

import sys

from kalshi_pipelines.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""Paths of the checkout, and of test material that is stored beside it."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
DOCS: Final = CHECKOUT / "docs"
#: The folder of recordings, old databases and incidents beside the project. Without it, tests that read it are skipped.
SHARED: Final = CHECKOUT.parent / "shared"
#: The folder of recorded responses of the real exchange.
RECORDINGS: Final = SHARED / "recordings"

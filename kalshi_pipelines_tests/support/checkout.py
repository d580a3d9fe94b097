"""Paths of the checkout and of the test material beside it."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
DOCS: Final = CHECKOUT / "docs"
#: Recordings, old databases and incidents outside the project. Tests that read them skip when the folder is absent.
SHARED: Final = CHECKOUT.parent / "shared"
#: Recorded responses of the real exchange.
RECORDINGS: Final = SHARED / "recordings"

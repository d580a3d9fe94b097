"""Where the checkout and the material beside it are."""

from pathlib import Path
from typing import Final

CHECKOUT: Final = Path(__file__).parents[2]
DOCS: Final = CHECKOUT / "docs"
#: Recordings, old databases and incidents outside the project. Tests that read them skip when it is absent.
SHARED: Final = CHECKOUT.parent / "shared"

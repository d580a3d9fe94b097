"""Real databases of the older tool, if this machine has them."""

from typing import Final

from kalshi_pipelines_tests.support.checkout import SHARED

FOUND_DATABASES: Final = SHARED / "legacy_dbs"
MANIFEST: Final = FOUND_DATABASES / "manifest.json"
_REFUSED: Final = ("truncated.db", "zero_pages.db", "not_a_database.db", "unknown_revision.db", "two_versions.db")


def found_databases(*, adopted: bool) -> list[str]:
    """Return the names of files that an upgrade adopts. If ``adopted`` is false, return those that it refuses."""
    if not MANIFEST.is_file():
        return []
    return sorted(path.name for path in FOUND_DATABASES.glob("*.db") if (path.name not in _REFUSED) == adopted)

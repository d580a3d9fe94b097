"""Whether a file holds a journal: an empty file that another program left behind stops nobody."""

import sqlite3
from pathlib import Path
from typing import Final
from urllib.parse import quote

#: The longest wait for a lock of the file, in seconds. A locked file counts as a journal.
_MOST_SECONDS_LOCKED: Final = 1.0
#: The table that every journal has since it was set up.
_IDENTITY: Final = "journal_identity"


def lacks_journal(file: Path) -> bool:
    """Return whether a SQLite file is missing or empty, or was never set up as a journal.

    A file that cannot be read may be a damaged journal in which sessions trade, so it counts as a journal.

    Raises:
        OSError: The file's folder cannot be searched.
    """
    if not file.exists():
        return True
    if not file.is_file():
        return False
    if file.stat().st_size == 0:
        return True
    try:
        connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=_MOST_SECONDS_LOCKED)
        try:
            rows = connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (_IDENTITY,)).fetchall()
        finally:
            connection.close()
    except sqlite3.Error:
        return False
    return not rows

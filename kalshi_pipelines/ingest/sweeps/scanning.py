"""Scans over many stored rows, in little memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import sqlalchemy as sa

#: Rows that are fetched from the database at once.
ROWS_AT_ONCE: Final = 5_000
_CACHE_KIB: Final = 2_048


@contextmanager
def scanning(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Yield a connection that fetches rows in parts and keeps few pages of the database in memory.

    SQLite keeps pages that a connection has read, up to 8 MB. A scan reads each page once, so keeping them is of no
    use.
    """
    with engine.connect().execution_options(yield_per=ROWS_AT_ONCE) as connection:
        if connection.dialect.name != "sqlite":
            yield connection
            return
        usual = connection.exec_driver_sql("PRAGMA cache_size").scalar()
        connection.exec_driver_sql(f"PRAGMA cache_size = -{_CACHE_KIB}")
        try:
            yield connection
        finally:
            connection.exec_driver_sql(f"PRAGMA cache_size = {usual}")

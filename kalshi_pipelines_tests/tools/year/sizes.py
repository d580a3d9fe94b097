"""Sizes of a warehouse and a lake, read without the code of the package: bytes, files and rows."""

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pyarrow.parquet as pq

#: How the names of tables begin whose rows do not grow with the number of markets: their rows are of runs, of days, of
#: articles (whose number the news budget limits), or of the kinds of requests. All other tables are multiplied.
COUNTED_ONCE: Final = (
    "adoption_",
    "alembic_version",
    "alert",
    "contract_",
    "history_",
    "ingest_runs",
    "lake_files",
    "list_reads",
    "news_",
    "rate_budgets",
    "sqlite_",
    "superseded_files",
    "vendor_",
    "warehouse_identity",
    "watermarks",
)


def measure(folder: Path, *, tables: bool = False) -> dict[str, Any]:
    """Return the sizes of the data in a folder.

    Args:
        folder: Folder with ``warehouse.db`` and ``lake``.
        tables: Whether to count the rows and bytes of each table and dataset, which takes longer.
    """
    database = folder / "warehouse.db"
    files, count = Counter[str](), Counter[str]()
    for path in (folder / "lake").rglob("*"):
        if path.is_file():
            dataset = path.relative_to(folder / "lake").parts[0]
            files[dataset] += path.stat().st_size
            count[dataset] += path.suffix == ".parquet"
    found: dict[str, Any] = {
        "warehouse_bytes": database.stat().st_size,
        "wal_bytes": sum(path.stat().st_size for path in folder.glob("warehouse.db-wal")),
        "lake_bytes": sum(files.values()),
        "lake_bytes_of": dict(files),
        "files": sum(count.values()),
        "files_of": {name: number for name, number in count.items() if number},
        "other_bytes": sum(
            path.stat().st_size
            for path in folder.rglob("*")
            if path.is_file() and "lake" not in path.parts and not path.name.startswith("warehouse.db")
        ),
    }
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        pages = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "freelist_count")}
        found["free_bytes"] = pages["page_size"] * pages["freelist_count"]
        if tables:
            found["rows"] = _rows(connection)
            found["table_bytes"] = _bytes(connection)
            found["bytes_counted_once"] = bytes_counted_once(connection)
            found["lake_rows"] = _lake_rows(folder / "lake")
    connection.close()
    return found


def findings(folder: Path) -> list[str]:
    """Return every finding of the contract checks, closed or not, as text."""
    columns = "endpoint, place, kind, severity, status, before, after, openings"
    with sqlite3.connect(f"file:{folder / 'warehouse.db'}?mode=ro", uri=True) as connection:
        rows = connection.execute(f"SELECT {columns} FROM contract_findings").fetchall()
    connection.close()
    return [" ".join(map(str, row)) for row in rows]


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    return {name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0] for name in sorted(names)}


def _bytes(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the bytes of each table and index, if this SQLite can tell."""
    try:
        return dict(connection.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 40"))
    except sqlite3.OperationalError:
        return {}


def bytes_counted_once(connection: sqlite3.Connection) -> int:
    """Return the bytes of the tables, with their indexes, that do not grow with the number of markets.

    The result is 0 if this SQLite cannot tell.
    """
    try:
        rows = connection.execute(
            "SELECT coalesce(owner.tbl_name, pages.name), sum(pages.pgsize) FROM dbstat AS pages"
            " LEFT JOIN sqlite_schema AS owner ON owner.name = pages.name GROUP BY 1"
        ).fetchall()
    except sqlite3.OperationalError:
        return 0
    return sum(size for name, size in rows if name.startswith(COUNTED_ONCE))


def _lake_rows(lake: Path) -> dict[str, int]:
    rows = Counter[str]()
    for path in lake.rglob("*.parquet"):
        rows[path.relative_to(lake).parts[0]] += pq.read_metadata(path).num_rows
    return dict(rows)

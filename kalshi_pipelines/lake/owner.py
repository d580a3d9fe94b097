"""The owner of a lake. A lake belongs to one warehouse of one environment, and refuses every other one.

File names are unique only inside one warehouse. Without an owner, a second warehouse would merge its rows into the
files of the first one, or replace them.
"""

import json
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines.lake.errors import LakeLost, LakeOfAnotherWarehouse
from kalshi_pipelines.lake.store import Store
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import place_of, writing
from kalshi_pipelines.warehouse.retirement import refuse_retired
from kalshi_pipelines.warehouse.tables import warehouse_identity

MARK: Final = "lake.json"
#: Version of the arrangement of folders, slots and files.
LAYOUT: Final = 1
_ANOTHER_PLACE: Final = "Set KALSHI_LAKE_DIR or KALSHI_LAKE_URL to another place"


@dataclass(frozen=True)
class Owner:
    """The mark of a lake: its own id, its warehouse, its environment, and the layout of its files."""

    lake_id: str
    warehouse_id: str
    environment: str
    layout: int


def new_id() -> str:
    """Return a random id of 32 characters."""
    return secrets.token_hex(16)


def identify_warehouse(engine: sa.Engine, environment: str) -> str:
    """Return the id of the warehouse. The first call gives the warehouse an id and its environment.

    The caller holds the work lock of the lake.

    Raises:
        LakeOfAnotherWarehouse: The warehouse is one of another environment.
        WarehouseRetired: The warehouse was copied to another database, which owns the lake now.
    """
    with writing(engine) as connection:
        refuse_retired(connection)
        row = connection.execute(sa.select(warehouse_identity)).one_or_none()
        if row is None:
            made = {"warehouse_id": new_id(), "environment": environment, "created_us": now_us()}
            connection.execute(sa.insert(warehouse_identity).values(made))
            return str(made["warehouse_id"])
        if row.environment is None:
            connection.execute(sa.update(warehouse_identity).values(environment=environment))
    if row.environment not in (None, environment):
        raise LakeOfAnotherWarehouse(
            f"The warehouse {place_of(engine)} holds data of the {row.environment} exchange, not of {environment}.",
            "Set KALSHI_ENVIRONMENT back, or KALSHI_WAREHOUSE_URL to another place.",
        )
    return str(row.warehouse_id)


def read_owner(store: Store) -> Owner | None:
    """Return the mark of a lake, or None if the lake has none.

    Raises:
        LakeOfAnotherWarehouse: The mark cannot be read.
    """
    try:
        text = store.read_text(MARK)
        if text is None:
            return None
        found = json.loads(text)
        return Owner(str(found["lake_id"]), str(found["warehouse_id"]), str(found["environment"]), int(found["layout"]))
    except (ValueError, KeyError, TypeError):
        raise LakeOfAnotherWarehouse(
            f"The file {MARK} of the lake {store.place} cannot be read, so the lake's owner is unknown.",
            f"Restore the file from a backup. {_ANOTHER_PLACE} if there is none.",
        ) from None


def claim(
    store: Store,
    unfinished: Path,
    warehouse_id: str,
    environment: str,
    count_published: Callable[[], int] = lambda: 0,
) -> Owner:
    """Return the mark of this warehouse's lake. An empty lake becomes the lake of this warehouse.

    Args:
        store: The lake.
        unfinished: Folder of this computer for unfinished files.
        warehouse_id: Id of the warehouse.
        environment: The exchange of its data.
        count_published: Returns the number of files that the lake must have; 0 if it may be new.

    Raises:
        LakeOfAnotherWarehouse: The lake belongs to another warehouse or environment, or has files and no mark.
        LakeLost: The lake is empty, but the warehouse has published files.
    """
    owner = read_owner(store)
    if owner is None:
        if any(store.paths(dataset) for dataset in DATASETS):
            raise LakeOfAnotherWarehouse(
                f"The lake {store.place} has files but no {MARK}, so its owner is unknown.",
                f"Run `dagster job execute -m kalshi_pipelines -j migrate` if an older version wrote it, and "
                f"`kalshi-pipelines rebuild-lake` if {MARK} was lost. {_ANOTHER_PLACE} if neither is true.",
            )
        if published := count_published():
            raise LakeLost(
                f"The lake {store.place} is empty, but this warehouse has published {published:,} files.",
                "Mount its disk, put its files back, or correct KALSHI_LAKE_DIR or KALSHI_LAKE_URL. "
                "If the files are lost, run `kalshi-pipelines rebuild-lake`.",
            )
        owner = Owner(new_id(), warehouse_id, environment, LAYOUT)
        write_owner(store, owner, unfinished)
        # An object store has no locks. If two warehouses claim it at once, the last mark counts for both.
        owner = read_owner(store) or owner
    require_owner(store, owner, warehouse_id, environment)
    return owner


def write_owner(store: Store, owner: Owner, unfinished: Path) -> None:
    """Write the mark of a lake."""
    store.write_text(MARK, json.dumps(asdict(owner)) + "\n", unfinished)


def require_owner(store: Store, owner: Owner, warehouse_id: str, environment: str) -> None:
    """Check that a lake belongs to this warehouse and environment.

    Raises:
        LakeOfAnotherWarehouse: It does not, or a newer version wrote it.
    """
    if owner.environment != environment:
        raise LakeOfAnotherWarehouse(
            f"The lake {store.place} holds data of the {owner.environment} exchange, not of {environment}.",
            f"{_ANOTHER_PLACE}, or set KALSHI_ENVIRONMENT back.",
        )
    if owner.warehouse_id != warehouse_id:
        raise LakeOfAnotherWarehouse(
            f"The lake {store.place} belongs to another warehouse, so this warehouse did not touch it.",
            f"{_ANOTHER_PLACE}, or use the warehouse that the lake belongs to.",
        )
    if owner.layout != LAYOUT:
        raise LakeOfAnotherWarehouse(
            f"The lake {store.place} has layout {owner.layout}, which this version does not know.",
            "Install the newest version of kalshi_pipelines.",
        )

"""Opening a warehouse and its lake for reading."""

from pathlib import Path

from kalshi_pipelines.data.reader import Data
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.lake.lake import open_lake
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.warehouse.engine import open_reader, sqlite_url
from kalshi_pipelines.warehouse.migrations import require_head


class NoData(ExpectedError):
    """The named place has no warehouse."""


def open_data(where: Settings | Path | str | None = None) -> Data:
    """Open the warehouse and the lake for reading.

    Args:
        where: Settings, or the folder of an environment such as ``data/prod``; None for the settings of the environment
            variables.

    Raises:
        NoData: There is no warehouse.
        SchemaNotAtHead: The warehouse has the schema of another version.
        WarehouseUnavailable: The warehouse cannot be read.
    """
    if isinstance(where, Settings):
        settings = where
    else:
        settings = Settings.from_environment() if where is None else _settings_of(Path(where))
    engine = open_reader(settings.resolved_warehouse_url, _no_data)
    require_head(engine)
    return Data(engine, open_lake(settings))


def _no_data(path: Path) -> NoData:
    return NoData(f"There is no warehouse at {path}.", "Name the folder of an environment, such as data/prod.")


def _settings_of(folder: Path) -> Settings:
    known = {each.value for each in Environment}
    return Settings(
        environment=Environment(folder.name) if folder.name in known else Environment.SANDBOX,
        warehouse_url=sqlite_url(folder / "warehouse.db"),
        lake_dir=folder / "lake",
    )

"""The rule that a warehouse holds records of one exchange only. Sandbox, demo and production never mix."""

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.warehouse.tables import ingest_runs


class WarehouseOfAnotherEnvironment(ExpectedError):
    """The warehouse holds records of another exchange than the one in use."""


def refuse_another_environment(connection: sa.Connection, environment: str) -> None:
    """Check that the warehouse is empty or holds records of this environment.

    Raises:
        WarehouseOfAnotherEnvironment: The warehouse holds records of another environment.
    """
    if not sa.inspect(connection).has_table(ingest_runs.name):
        return
    another = sa.select(ingest_runs.c.environment).where(ingest_runs.c.environment != environment).limit(1)
    other = connection.scalar(another)
    if other:
        raise WarehouseOfAnotherEnvironment(
            f"This warehouse holds data of the {other} exchange, so a run for {environment} did not touch it.",
            "Set KALSHI_WAREHOUSE_URL or KALSHI_DATA_DIR to another place, or set KALSHI_ENVIRONMENT back.",
        )

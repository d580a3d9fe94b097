"""Engines of the warehouse get all needed settings, and are named without their password."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, explain_failures, open_engine, place_of

SECRET = "hunter2"  # noqa: S105


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (f"postgresql://k:{SECRET}@db:5433/kalshi", "postgresql://db:5433/kalshi"),
        (f"postgresql+psycopg://k:{SECRET}@db/kalshi?sslmode=require", "postgresql://db/kalshi"),
        (f"postgresql://k:{SECRET}%40x@db/kalshi", "postgresql://db/kalshi"),
    ],
)
def test_database_server_is_named_without_user_or_password(url: str, place: str) -> None:
    assert place_of(open_engine(url)) == place


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://k:p@{SECRET}@db/kalshi",
        f"postgresql://db/kalshi?user=k&password={SECRET}",
        f"postgresql://k:{SECRET}@db:notaport/kalshi",
        f"mysql://k:{SECRET}@db/kalshi",
    ],
)
def test_unusable_url_is_refused_without_showing_its_password(url: str) -> None:
    with pytest.raises(WarehouseUnavailable) as caught:
        open_engine(url)
    assert SECRET not in str(caught.value)


def test_unreachable_server_is_reported_without_the_password() -> None:
    engine = open_engine(f"postgresql://k:{SECRET}@127.0.0.1:1/kalshi")
    with (
        pytest.raises(WarehouseUnavailable, match=r"postgresql://127.0.0.1:1/kalshi cannot be used") as caught,
        explain_failures(engine),
        engine.connect(),
    ):
        pass
    assert SECRET not in str(caught.value)


def test_connection_trusts_the_schema_so_that_constraints_may_call_functions(
    sqlite_engine: sa.Engine,
) -> None:
    with sqlite_engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA trusted_schema").scalar() == 1


def test_settings_do_not_print_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", f"postgresql://k:{SECRET}@db/kalshi")
    settings = Settings.from_environment()
    assert SECRET not in repr(settings) + str(settings) + str(settings.model_dump())
    assert SECRET in settings.resolved_warehouse_url

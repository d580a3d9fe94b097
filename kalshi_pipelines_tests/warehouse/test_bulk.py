"""Bulk writes set exactly the illegal rows aside."""

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kalshi_pipelines.warehouse.bulk import Write, write_rows
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import series
from kalshi_pipelines_tests.warehouse.rows import LEGAL, fill

PLACEHOLDERS = Write(
    series, ("ticker", "is_placeholder", "first_seen_us", "recorded_us", "ingest_run_id"), keep=("first_seen_us",)
)


@given(legal=st.lists(st.booleans(), max_size=12))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
def test_every_row_is_stored_or_refused_with_its_position(engine: sa.Engine, legal: list[bool]) -> None:
    with writing(engine) as connection:
        connection.execute(sa.delete(series))
        connection.execute(sa.text("DELETE FROM ingest_runs"))
    fill(engine, before=series)
    rows = [(f"KX{number}", True, 1, 1, 1 if fine else 99) for number, fine in enumerate(legal)]
    with writing(engine) as connection:
        refused = write_rows(connection, PLACEHOLDERS, rows)
        stored = set(connection.scalars(sa.select(series.c.ticker)))
    assert [each.position for each in refused] == [number for number, fine in enumerate(legal) if not fine]
    assert stored == {f"KX{number}" for number, fine in enumerate(legal) if fine}


def test_a_kept_column_survives_an_overwrite_and_the_others_change(engine: sa.Engine) -> None:
    fill(engine, before=series)
    with writing(engine) as connection:
        write_rows(connection, PLACEHOLDERS, [("KXA", True, 1, 1, 1)])
        write_rows(connection, PLACEHOLDERS, [("KXA", True, 2, 2, 1)])
        row = connection.execute(sa.select(series.c.first_seen_us, series.c.recorded_us)).one()
    assert tuple(row) == (1, 2)


def test_a_row_that_is_there_is_refused_where_history_is_only_appended(engine: sa.Engine) -> None:
    fill(engine)
    row = LEGAL[series]
    write = Write(series, tuple(row), on_conflict="refuse")
    with writing(engine) as connection:
        (refused,) = write_rows(connection, write, [tuple(row.values())])
    assert "UNIQUE" in refused.reason


def test_an_integer_too_large_for_the_database_is_refused_not_raised(engine: sa.Engine) -> None:
    fill(engine, before=series)
    with writing(engine) as connection:
        (refused,) = write_rows(connection, PLACEHOLDERS, [("KXA", True, 2**70, 1, 1)])
    assert "too large" in refused.reason

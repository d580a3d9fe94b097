"""Retention of records: what is old and closed leaves, what is open or referred to stays, on both databases."""

from typing import Any

import pytest
import sqlalchemy as sa

from kalshi_pipelines.upkeep.records import remove_old_records
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.parents import remove_unreferenced
from kalshi_pipelines_tests.support.upkeep.tasks import counts, days_ago, upkeep_inputs
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, numbered

OLD, NEW = days_ago(91), days_ago(89)


def insert(engine: sa.Engine, table: sa.Table, number: int = 0, **values: Any) -> None:
    with writing(engine) as connection:
        connection.execute(sa.insert(table), numbered(table, number) | values)


def keys(engine: sa.Engine, table: sa.Table) -> list[Any]:
    column = next(iter(table.primary_key))
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(column).order_by(column)))


def end_run(engine: sa.Engine, number: int, finished_us: int, **values: Any) -> None:
    ended = {"status": "succeeded", "started_us": finished_us - 1, "finished_us": finished_us}
    insert(engine, tables.ingest_runs, number, **{**ended, **values})


@pytest.fixture
def run(engine: sa.Engine) -> sa.Engine:
    insert(engine, tables.ingest_runs)
    insert(engine, tables.contract_runs)
    return engine


def test_quarantined_record_leaves_only_long_after_it_was_resolved(run: sa.Engine) -> None:
    for number, resolved in enumerate((None, OLD, NEW)):
        insert(run, tables.quarantine, number, quarantined_us=1, resolved_us=resolved)
    removals = remove_old_records(upkeep_inputs(run))
    assert counts(removals, "records in quarantine") == (1, 2)
    with run.connect() as connection:
        left = set(connection.scalars(sa.select(tables.quarantine.c.resolved_us)))
    assert left == {None, NEW}


def test_closed_finding_leaves_with_its_events_and_alerts(run: sa.Engine) -> None:
    for number, (status, closed) in enumerate((("open", None), ("closed", OLD), ("closed", NEW), ("closed", OLD))):
        insert(run, tables.contract_findings, number, status=status, closed_us=closed)
        insert(run, tables.contract_finding_events, number, finding_id=number + 1)
        is_sent = number != 3
        state = {"state": "sent", "finished_us": OLD} if is_sent else {}
        insert(run, tables.alerts, number, finding_id=number + 1, **state)
        insert(run, tables.alert_deliveries, number, alert_id=number + 1)
    removals = remove_old_records(upkeep_inputs(run))
    assert counts(removals, "contract findings") == (1, 3)
    # The alert of finding 4 was never sent, so the finding stays although it is as old as finding 2.
    for table in (tables.contract_findings, tables.contract_finding_events, tables.alerts, tables.alert_deliveries):
        assert keys(run, table) == [1, 3, 4], table.name


def test_old_events_of_an_open_finding_leave_except_the_newest(run: sa.Engine) -> None:
    insert(run, tables.contract_findings)
    for number, at in enumerate((OLD, OLD + 1, NEW)):
        insert(run, tables.contract_finding_events, number, at_us=at)
    insert(run, tables.contract_findings, 1)
    insert(run, tables.contract_finding_events, 3, finding_id=2, at_us=OLD)
    remove_old_records(upkeep_inputs(run))
    assert keys(run, tables.contract_finding_events) == [3, 4]


def test_alert_without_finding_leaves_after_it_ended(run: sa.Engine) -> None:
    insert(run, tables.contract_findings)
    about_nothing = {"origin": "run_failure", "finding_id": None}
    insert(run, tables.alerts, 0, **about_nothing)
    insert(run, tables.alerts, 1, **about_nothing, state="sent", finished_us=OLD)
    insert(run, tables.alerts, 2, **about_nothing, state="sent", finished_us=NEW)
    insert(run, tables.alerts, 3, state="sent", finished_us=OLD)
    insert(run, tables.alert_deliveries, 0, alert_id=2)
    assert counts(remove_old_records(upkeep_inputs(run)), "alerts") == (1, 3)
    assert keys(run, tables.alerts) == [1, 3, 4]


def test_contract_run_leaves_if_nothing_refers_to_it_and_a_newer_one_ended_alike(run: sa.Engine) -> None:
    looked = {"endpoints_checked": 1}
    for number, finished in ((1, OLD), (2, OLD), (3, OLD + 1), (4, NEW)):
        insert(run, tables.contract_runs, number, status="succeeded", finished_us=finished, **looked)
    insert(run, tables.contract_runs, 5, status="failed", error="refused", finished_us=OLD)
    insert(run, tables.contract_endpoints, contract_run_id=3)
    assert counts(remove_old_records(upkeep_inputs(run)), "contract runs") == (2, 4)
    # 1 runs, 3 is referred to, 5 is the newest success and 6 is the newest failure.
    assert keys(run, tables.contract_runs) == [1, 3, 5, 6]


def test_ingest_run_leaves_if_it_is_old_unreferenced_and_exported(run: sa.Engine) -> None:
    for number in range(1, 6):
        end_run(run, number, OLD + number)
    end_run(run, 6, OLD, history_rows=3)
    end_run(run, 7, OLD, history_rows=3, exported_us=OLD)
    end_run(run, 8, OLD, status="failed", error="refused")
    end_run(run, 9, NEW)
    insert(run, tables.series, ingest_run_id=3)
    insert(run, tables.watermarks, ingest_run_id=4)
    removals = remove_old_records(upkeep_inputs(run), fewest_runs=1)
    assert counts(removals, "ingest runs") == (4, 6)
    # 1 runs, 3 and 4 are referred to, 7 is not in the lake yet, 9 is the newest failure and 10 the newest success.
    assert keys(run, tables.ingest_runs) == [1, 3, 4, 7, 9, 10]


def test_few_old_ingest_runs_wait_until_removal_is_worthwhile(run: sa.Engine) -> None:
    for number in range(1, 4):
        end_run(run, number, OLD)
    assert counts(remove_old_records(upkeep_inputs(run), fewest_runs=3), "ingest runs") == (0, 4)
    assert counts(remove_old_records(upkeep_inputs(run), fewest_runs=2), "ingest runs") == (2, 2)


def test_dry_run_counts_the_same_and_removes_nothing(run: sa.Engine) -> None:
    insert(run, tables.quarantine, resolved_us=OLD)
    for number in range(1, 4):
        end_run(run, number, OLD)
    expected = remove_old_records(upkeep_inputs(run, is_dry_run=True), fewest_runs=1)
    assert counts(expected, "ingest runs") == (2, 2)
    assert len(keys(run, tables.ingest_runs)) == 4
    assert remove_old_records(upkeep_inputs(run), fewest_runs=1) == expected
    assert len(keys(run, tables.ingest_runs)) == 2


@pytest.mark.parametrize("child", ["series", "watermarks", "quarantine", "news_articles", "vendor_spending"])
def test_run_that_any_table_refers_to_is_never_removed(run: sa.Engine, child: str) -> None:
    end_run(run, 1, OLD)
    table = tables.metadata.tables[child]
    insert(run, table, **{"ingest_run_id": 2} if "ingest_run_id" in LEGAL[table] else {})
    assert remove_unreferenced(run, tables.ingest_runs, [2]) == 0
    assert keys(run, tables.ingest_runs) == [1, 2]


def test_removal_of_runs_leaves_guards_and_foreign_keys_in_force(run: sa.Engine) -> None:
    end_run(run, 1, OLD)
    assert remove_unreferenced(run, tables.ingest_runs, [2]) == 1
    insert(run, tables.series)
    with pytest.raises(sa.exc.IntegrityError), writing(run) as connection:
        connection.execute(sa.delete(tables.ingest_runs))
    if run.dialect.name == "sqlite":
        with run.connect() as connection:
            triggers = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars()
            assert "write_guard_ingest_runs_delete" in set(triggers)


def test_removal_of_runs_does_not_wait_for_another_transaction_on_postgres(postgres_engine: sa.Engine) -> None:
    insert(postgres_engine, tables.ingest_runs)
    end_run(postgres_engine, 1, OLD)
    with writing(postgres_engine) as connection:
        connection.execute(sa.insert(tables.series), LEGAL[tables.series])
        with pytest.raises(AlreadyRunning, match="ingest_runs"):
            remove_unreferenced(postgres_engine, tables.ingest_runs, [2])
    assert remove_unreferenced(postgres_engine, tables.ingest_runs, [2]) == 1

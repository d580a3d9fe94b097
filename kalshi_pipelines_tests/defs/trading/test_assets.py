"""Trading in Dagster: an unarmed run does nothing, an armed run decides proposals, and only a person can arm a run."""

import datetime as dt
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
import sqlalchemy as sa
from dagster._core.remote_origin import InProcessCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.resources import ExchangeResource, JournalResource, WarehouseResource
from kalshi_pipelines.defs.trading import kill_switch
from kalshi_pipelines.defs.trading.assets import executed_orders
from kalshi_pipelines.defs.trading.by_hand import TradesByItself, require_by_hand
from kalshi_pipelines.defs.trading.kill_switch import halted_sensor
from kalshi_pipelines.defs.trading.tags import ONLY_ONCE, TRADES
from kalshi_pipelines.execution.inbox.proposals import ProposalTexts, propose, read_proposal
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.service.stopping.stop_report import StopReport, TargetStop
from kalshi_pipelines.execution.service.stopping.stop_settings import StopTarget
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.tables import alerts

EXECUTED = dg.AssetKey("executed_orders")


@pytest.fixture(scope="module")
def ticker(frozen_sandbox: SandboxProcess) -> str:
    """The ticker of a sandbox market with bids on both sides."""
    query = {"status": "open", "mve_filter": "exclude", "limit": "1000"}
    found = httpx.get(f"{frozen_sandbox.url}/markets", params=query).json()["markets"]
    return str(
        next(
            each["ticker"] for each in found if "0.4000" < each["yes_bid_dollars"] < each["yes_ask_dollars"] < "0.6000"
        )
    )


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def definitions(frozen_sandbox: SandboxProcess, tmp_path: Path, instance: dg.DagsterInstance) -> dg.Definitions:
    """Trading definitions whose journal is migrated and whose kill switch is released."""
    definitions = build_defs(
        warehouse=WarehouseResource(data_dir=str(tmp_path)), exchange=ExchangeResource(sandbox_url=frozen_sandbox.url)
    )
    assert definitions.resolve_job_def("migrate").execute_in_process(instance=instance).success
    with journal_of(tmp_path) as journal, journal.writing() as transaction:
        transaction.halts.release("ann", "ready to try")
    return definitions


@contextmanager
def journal_of(folder: Path) -> Iterator[Journal]:
    engine = open_journal(f"sqlite:///{folder / 'sandbox' / 'journal.db'}")
    yield Journal(engine, "sandbox")
    engine.dispose()


def inbox(folder: Path, *orders: dict[str, str]) -> None:
    now = dt.datetime.now(dt.UTC)
    made = [
        read_proposal(
            ProposalTexts(
                **{
                    "action": "buy",
                    "outcome": "yes",
                    "count": "1",
                    "strategy": "test",
                    "signal": f"signal {number}",
                    "as_of": now.isoformat(),
                    "valid_until": (now + dt.timedelta(minutes=5)).isoformat(),
                }
                | order
            ),
            Proposer(ActorKind.PERSON, "ann"),
        )
        for number, order in enumerate(orders)
    ]
    engine = open_journal(f"sqlite:///{folder / 'sandbox' / 'journal.db'}")
    propose(engine, made, "a test")
    engine.dispose()


def armed(**changes: str) -> dict[str, Any]:
    config = {"armed_by": "ann", "why": "a try", "armed_at": dt.datetime.now(dt.UTC).isoformat()} | changes
    return {"ops": {"executed_orders": {"config": config}}}


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str = "trade", **options: Any) -> Any:
    made = definitions.resolve_job_def(job)
    return made.execute_in_process(instance=instance, raise_on_error=False, **options)


def check_of(result: Any) -> tuple[bool, str]:
    (seen,) = [each for each in result.get_asset_check_evaluations() if each.asset_key == EXECUTED]
    assert seen.severity is dg.AssetCheckSeverity.WARN
    return seen.passed, seen.description


def observed(instance: dg.DagsterInstance) -> dict[str, Any]:
    (record,) = instance.fetch_observations(EXECUTED, limit=1).records
    assert record.asset_observation
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


def test_armed_run_decides_every_proposal_and_shows_a_table(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, ticker: str
) -> None:
    inbox(tmp_path, {"ticker": ticker, "price": "0.5000"}, {"ticker": ticker, "price": "0.0300"})
    result = run(definitions, instance, run_config=armed())
    assert result.success
    assert check_of(result) == (
        True,
        "armed by ann and started by hand; this check does not prove that a session opens",
    )
    (made,) = result.asset_materializations_for_node("executed_orders")
    assert (made.metadata["mode"].value, made.metadata["origin"].value) == ("dry_run", "by_hand")
    rows = [record.data for record in made.metadata["decisions"].records]
    assert [row["proposal"] for row in rows] == ["1", "2"]
    assert {row["decision"] for row in rows} <= {"simulated", "denied"}
    assert all(row["why"] and row["what to do"] for row in rows if row["decision"] == "denied")
    assert made.metadata["simulated"].value + made.metadata["denied"].value == 2
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        (session,) = [each.body for each in reading.audit_log.newest(100) if each.kind == "session"]
    assert '"why":"a try"' in session
    again = run(definitions, instance, run_config=armed())
    (nothing,) = again.asset_materializations_for_node("executed_orders")
    assert nothing.metadata["decisions"].records == []


def test_F16_materialize_all_without_arming_does_nothing_and_says_why(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, ticker: str
) -> None:
    inbox(tmp_path, {"ticker": ticker, "price": "0.5000"})
    keys = [dg.AssetKey(name) for name in ("trade_proposals", "executed_orders")]
    result = run(definitions, instance, "__ASSET_JOB", asset_selection=keys)
    assert result.success
    passed, why = check_of(result)
    assert not passed
    assert "nobody armed this run" in why
    assert result.asset_materializations_for_node("executed_orders") == []
    assert "nobody armed this run" in observed(instance)["nothing was sent"]
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        assert len(reading.inbox.pending(Account("sandbox", 0), Mode.DRY_RUN, 0, 0)) == 1


@pytest.mark.parametrize(
    ("tags", "origin"),
    [
        ({"dagster/parent_run_id": "x", "dagster/root_run_id": "x"}, Origin.RE_EXECUTED),
        ({"dagster/backfill": "x"}, Origin.BACKFILLED),
    ],
)
def test_F16_armed_run_not_started_by_hand_is_dry_even_in_live_mode(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    ticker: str,
    tags: dict[str, str],
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_MODE", "live")
    inbox(tmp_path, {"ticker": ticker, "price": "0.5000"})
    result = run(definitions, instance, run_config=armed(), tags=tags)
    assert result.success
    assert not check_of(result)[0]
    assert result.asset_materializations_for_node("executed_orders") == []
    seen = observed(instance)
    assert (seen["mode"], seen["origin"]) == ("dry_run", origin.value)
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        session = reading.sessions.get(seen["session"])
    assert (session["mode"], session["origin"]) == ("dry_run", origin.value)


def test_live_run_without_a_key_fails_with_one_sentence(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_MODE", "live")
    result = run(definitions, instance, run_config=armed())
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    assert "KALSHI_TRADE_PRIVATE_KEY_FILE" in str(failure.step_failure_data.user_failure_data.description)
    assert not failure.step_failure_data.user_failure_data.description.count("\n")


def test_proposals_file_is_imported_whole_with_the_proposer_of_the_run(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, ticker: str
) -> None:
    now = dt.datetime.now(dt.UTC)
    order = {"ticker": ticker, "action": "buy", "outcome": "no", "price": "0.5000", "count": "2"} | {
        "strategy": "file",
        "signal": "one",
        "as_of": now.isoformat(),
        "valid_until": (now + dt.timedelta(minutes=9)).isoformat(),
        "reason": "Ignore your limits <script>alert(1)</script>\u202e",
    }
    file = tmp_path / "orders.json"
    config = {"file": str(file), "proposer": "STRATEGY", "proposer_name": "momentum"}
    imported = {"ops": {"trade_proposals": {"config": config}}}
    file.write_text(json.dumps([order | {"price": 0.5}]))
    refused = run(definitions, instance, run_config=imported)
    (failure,) = [event for event in refused.all_node_events if event.is_step_failure]
    assert "write it as text" in str(failure.step_failure_data.user_failure_data.description)
    over = {**order, "reason": "", "as_of": "2026-11-23T14:00:00Z", "valid_until": "2026-11-23T14:05:00Z"}
    file.write_text(json.dumps([over]))
    stale = run(definitions, instance, run_config=imported)
    (failure,) = [event for event in stale.all_node_events if event.is_step_failure]
    assert "proposal 1, valid_until: 2026-11-23 14:05:00 UTC has passed" in str(failure.step_failure_data)
    file.write_text(json.dumps([{**order, "reason": "seen at 14:00"}]))
    result = run(definitions, instance, run_config=imported)
    (made,) = result.asset_materializations_for_node("trade_proposals")
    (row,) = [record.data for record in made.metadata["proposals"].records]
    assert (made.metadata["imported"].value, row["by"]) == (1, "strategy momentum")


def test_halt_stops_the_next_armed_run_and_the_audit_verifies(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, ticker: str
) -> None:
    assert run(definitions, instance, "halt_trading").success
    inbox(tmp_path, {"ticker": ticker, "price": "0.5000"})
    result = run(definitions, instance, run_config=armed())
    (made,) = result.asset_materializations_for_node("executed_orders")
    (row,) = [record.data for record in made.metadata["decisions"].records]
    assert (row["decision"], row["why"]) == ("denied", "kill_switch_engaged")
    assert run(definitions, instance, "verify_audit").success
    engine = open_journal(f"sqlite:///{tmp_path / 'sandbox' / 'journal.db'}")
    with engine.begin() as connection:
        for name in connection.exec_driver_sql(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'"
        ).scalars():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        connection.exec_driver_sql("UPDATE audit_log SET body = replace(body, 'halt', 'help') WHERE body LIKE '%halt%'")
    engine.dispose()
    assert not run(definitions, instance, "verify_audit").success


@pytest.mark.parametrize("level", [1, 2])
def test_halt_that_is_not_proved_fails_the_run_and_shows_where(
    definitions: dg.Definitions, instance: dg.DagsterInstance, level: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the journal of a server cannot be written, a halt does not reach an executor on another computer."""
    target = StopTarget("sandbox", Path("/x/sandbox"), "postgresql://ann:secret@db/trading", Path("/x/anchors"))
    missed = TargetStop(target, is_in_file=True, problem="permission denied for table audit_head")
    monkeypatch.setattr(kill_switch, "stop", lambda *_: StopReport(level, (missed,), flat=("sandbox",) * (level - 1)))
    config = {"ops": {"engage_kill_switch": {"config": {"level": level}}}}
    result = run(definitions, instance, "halt_trading", run_config=config)
    (failed,) = result.get_step_failure_events()
    message = failed.step_failure_data.user_failure_data.description
    assert message.startswith("NOT ENGAGED, ORDERS CANCELED: " if level == 2 else "NOT ENGAGED: new orders can still")
    assert "not in the journal postgresql://db/trading: permission denied for table audit_head" in message
    assert failed.step_failure_data.user_failure_data.metadata["journals"].records[0].data["engaged"] == "False"


def test_halt_with_unrelated_wrong_settings_shows_where_it_is_engaged(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KALSHI_TRADE_SESION_ORDERS", "5")
    monkeypatch.setenv("KALSHI_NEWS_RESULTS", "1000")
    result = run(definitions, instance, "halt_trading")
    assert result.success
    (handled,) = [event for event in result.all_events if event.is_successful_output]
    shown = handled.step_output_data.metadata
    assert shown["result"].value == (
        "ENGAGED: no new order is sent in 1 journal (0 sessions seen). Resting orders stay; level 2 cancels them."
    )
    assert shown["journals"].records[0].data["journal"] == str(tmp_path / "sandbox" / "journal.db")
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        assert reading.halts.kill_state().reason == "halt_trading was run"


@pytest.mark.parametrize(
    ("job", "resource"),
    [
        ("trade", "journal"),
        ("trade", "warehouse"),
        ("verify_audit", "journal"),
        ("verify_audit", "warehouse"),
        ("halt_trading", "journal"),
    ],
)
def test_run_whose_config_sets_another_folder_neither_trades_nor_halts(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path, job: str, resource: str
) -> None:
    config = (armed() if job == "trade" else {}) | {
        "resources": {resource: {"config": {"data_dir": str(tmp_path / "other")}}}
    }
    result = run(definitions, instance, job, run_config=config)
    assert not result.success
    assert not instance.get_latest_materialization_event(EXECUTED)
    messages = [event.step_failure_data.user_failure_data.description for event in result.get_step_failure_events()]
    assert all(f"resources.{resource}.config.data_dir" in text for text in messages)
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        assert not reading.halts.kill_state().engaged


def test_missing_guards_are_restored_only_by_the_job_migrate(
    definitions: dg.Definitions, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    with closing(sqlite3.connect(tmp_path / "sandbox" / "journal.db")) as connection:
        connection.execute("DROP TRIGGER guard_send")
        connection.commit()
    result = run(definitions, instance, run_config=armed())
    assert not result.success
    (failed,) = result.get_step_failure_events()
    assert "guard_send). Find out who changed them" in failed.step_failure_data.user_failure_data.description
    assert run(definitions, instance, "migrate").success
    with journal_of(tmp_path) as journal, journal.reading() as reading:
        (note,) = [record for record in reading.audit_log.newest(100) if record.kind == "note"]
    assert '"guards_made_anew":["guard_send"]' in note.body
    assert run(definitions, instance, run_config=armed()).success


def test_halted_sensor_queues_one_alert_for_each_halt(definitions: dg.Definitions, tmp_path: Path) -> None:
    del definitions
    warehouse = WarehouseResource(data_dir=str(tmp_path))
    resources = {"warehouse": warehouse, "journal": JournalResource(data_dir=str(tmp_path))}

    def looks(cursor: str | None) -> str:
        with dg.build_sensor_context(cursor=cursor, resources=resources) as context:
            halted_sensor(context)
            return str(context.cursor)

    assert looks(None) == "None"
    with journal_of(tmp_path) as journal, journal.writing() as transaction:
        transaction.halts.engage(1, "operator", "ann", "odd fills")
    assert looks(looks(None)) == "3"
    assert looks(None) == "3"  # a daemon that lost its cursor queues no second alert
    engine = open_engine(warehouse.settings.resolved_warehouse_url)
    with engine.connect() as connection:
        (alert,) = connection.execute(sa.select(alerts.c.title, alerts.c.body)).all()
    engine.dispose()
    assert alert.title == "Trading is halted on sandbox"
    assert "ann" in alert.body
    assert "odd fills" in alert.body


def test_trading_runs_queue_behind_each_other_and_are_never_retried() -> None:
    definitions = build_defs()
    for name in ("trade", "reconcile"):
        job = definitions.resolve_job_def(name)
        assert TRADES.items() <= job.run_tags.items() | job.tags.items(), name
    assert ONLY_ONCE.items() <= definitions.resolve_job_def("halt_trading").tags.items()
    assert executed_orders.op.retry_policy is None
    limits = Path("dagster.yaml").read_text()
    assert "key: kalshi_pipelines/trades" in limits


def test_F43_halt_starts_at_once_beside_any_number_of_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy("dagster.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    halt_tags = dict(build_defs().resolve_job_def("halt_trading").tags)
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="kalshi_pipelines"), "here")
    origin = RemoteRepositoryOrigin(location, "__repository__")
    with dg.DagsterInstance.get() as instance:

        def made(name: str, status: dg.DagsterRunStatus, **tags: str) -> None:
            create_run_for_test(
                instance, job_name=name, status=status, tags=tags, remote_job_origin=RemoteJobOrigin(origin, name)
            )

        made("trade", dg.DagsterRunStatus.STARTED, **TRADES)
        for number in range(30):
            made(f"ingest_{number}", dg.DagsterRunStatus.STARTED)
        for _ in range(3):
            made("reconcile", dg.DagsterRunStatus.STARTED, **{"dagster/schedule_name": "reconcile_schedule"})
        for waiting in ({"dagster/schedule_name": "later"}, TRADES):
            made("waits", dg.DagsterRunStatus.QUEUED, **waiting)
        made("halt_trading", dg.DagsterRunStatus.QUEUED, **halt_tags)
        queue = QueuedRunCoordinatorDaemon(interval_seconds=1)
        starts = queue._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
    assert [run.job_name for run in starts] == ["halt_trading"]


def test_definitions_that_could_trade_without_a_person_are_refused() -> None:
    other = dg.define_asset_job("night", selection=dg.AssetSelection.assets(EXECUTED))
    built = build_defs()
    with pytest.raises(TradesByItself, match="job night selects it"):
        require_by_hand(dg.Definitions.merge(built, dg.Definitions(jobs=[other])))
    schedule = dg.ScheduleDefinition(job_name="trade", cron_schedule="0 9 * * *", name="trade_every_morning")
    with pytest.raises(TradesByItself, match="a schedule or sensor starts trade"):
        require_by_hand(dg.Definitions.merge(built, dg.Definitions(schedules=[schedule])))

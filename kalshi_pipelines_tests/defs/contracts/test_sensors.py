"""The sensors keep contract runs and alerts going through days, restarts and outages. The clock is simulated."""

import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa

from kalshi_pipelines.alerts.outbox import CLAIM_TIME_OUT_US
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.defs.contracts import automation
from kalshi_pipelines.defs.contracts.automation import contract_sensor, drift_sensor
from kalshi_pipelines.defs.resources import WarehouseResource
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US
from kalshi_pipelines.warehouse.tables import alert_deliveries, alerts
from kalshi_pipelines_tests.support.alerts.receivers import Webhook, webhook_receiver

START_US = 1_795_348_800_000_000
BROKEN = Difference("GET /markets", "markets[].yes_bid_dollars", Kind.KEY_MISSING, Severity.BREAKING, "there", "gone")


@dataclass
class Daemon:
    """Stand-in for Dagster's daemon: ticks a sensor, keeps its cursor, and never uses a run key twice."""

    sensor: dg.SensorDefinition
    warehouse: WarehouseResource
    instance: dg.DagsterInstance
    clock: "Clock"
    cursor: str | None = None
    run_keys: set[str] = field(default_factory=set)
    events: list[dg.AssetCheckEvaluation] = field(default_factory=list)
    opened: list[WarehouseResource] = field(default_factory=list)

    def tick(self) -> list[str]:
        """Evaluate the sensor once; return the keys of the runs it launches."""
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"warehouse": self.warehouse}
        ) as context:
            result = self.sensor.evaluate_tick(context)
        self.cursor = result.cursor
        self.events += [event for event in result.asset_events if isinstance(event, dg.AssetCheckEvaluation)]
        keys = [str(request.run_key) for request in result.run_requests or [] if request.run_key not in self.run_keys]
        self.run_keys.update(keys)
        return keys

    def restart(self) -> "Daemon":
        """Return a restarted daemon, which knows only what this daemon stored."""
        warehouse = WarehouseResource(data_dir=self.warehouse.data_dir)
        self.opened.append(warehouse)
        return replace(self, warehouse=warehouse)


@dataclass
class Clock:
    """A simulated clock that the sensors read."""

    now_us: int = START_US

    def __call__(self) -> int:
        return self.now_us


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(automation, "now_us", clock)
    return clock


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path) -> Iterator[WarehouseResource]:
    (tmp_path / "sandbox").mkdir()
    (tmp_path / "sandbox" / "warehouse.db").write_bytes(migrated_file.read_bytes())
    resource = WarehouseResource(data_dir=str(tmp_path))
    yield resource
    resource.engine.dispose()


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def daemon_of(
    warehouse: WarehouseResource, instance: dg.DagsterInstance, clock: Clock
) -> Iterator[Callable[[dg.SensorDefinition], Daemon]]:
    opened: list[WarehouseResource] = []
    yield lambda sensor: Daemon(sensor, warehouse, instance, clock, opened=opened)
    for resource in opened:
        resource.engine.dispose()


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with webhook_receiver() as webhook:
        monkeypatch.setenv("KALSHI_ALERT_URLS", webhook.url)
        yield webhook


def contract_run(engine: sa.Engine, at_us: int, *differences: Difference, is_success: bool = True) -> None:
    run = store.begin_run(engine, "sandbox", RunSource.PROBES, at_us)
    if is_success:
        checked = CheckResult(CheckOutcome.CHECKED, differences, None)
        store.record(engine, run, [store.EndpointResult("GET /markets", checked)], at_us)
    else:
        store.fail_run(engine, run, "away", at_us)


DaemonOf = Callable[[dg.SensorDefinition], Daemon]


def test_contract_runs_over_three_days_of_restarts_are_at_most_six_hours_apart(
    daemon_of: DaemonOf, clock: Clock
) -> None:
    daemon, began = daemon_of(contract_sensor), []
    pause = range(START_US + 30 * HOUR_US, START_US + 45 * HOUR_US)
    while clock.now_us < START_US + 72 * HOUR_US:
        if clock.now_us not in pause:
            daemon = daemon.restart()
            launched = daemon.tick()
            assert len(launched) <= 1
            if launched:
                began.append(clock.now_us)
                contract_run(daemon.warehouse.engine, clock.now_us)
                assert daemon.tick() == []
        clock.now_us += 10 * MINUTE_US
    apart = [after - before for before, after in itertools.pairwise(began)]
    assert began[0] == START_US
    assert pause.stop in began  # the first tick after the outage starts a run
    steady = [each for each in apart if each < 10 * HOUR_US]
    assert len(steady) == len(apart) - 1
    assert 4.5 * HOUR_US <= min(steady) <= max(steady) <= 6 * HOUR_US
    assert len(set(steady)) > 1  # jitter makes the intervals differ


def test_failed_contract_runs_back_off_to_at_most_six_hours(daemon_of: DaemonOf, clock: Clock) -> None:
    daemon, began = daemon_of(contract_sensor), []
    while clock.now_us < START_US + DAY_US:
        if daemon.tick():
            began.append(clock.now_us)
            contract_run(daemon.warehouse.engine, clock.now_us, is_success=False)
        clock.now_us += 5 * MINUTE_US
    apart = [after - before for before, after in itertools.pairwise(began)]
    assert apart[:5] == sorted(apart[:5])
    assert apart[0] <= 20 * MINUTE_US
    assert 4 * HOUR_US <= max(apart) <= 6 * HOUR_US


def test_lost_run_request_is_repeated_and_a_waiting_one_is_not(daemon_of: DaemonOf, clock: Clock) -> None:
    daemon = daemon_of(contract_sensor)
    assert daemon.tick()
    clock.now_us += 10 * MINUTE_US
    assert daemon.tick() == []
    clock.now_us += HOUR_US
    with dg.DagsterInstance.ephemeral() as daemon.instance:
        waits = dg.DagsterRun(job_name="contract_checks", status=dg.DagsterRunStatus.STARTING)
        daemon.instance.add_run(waits)
        (record,) = daemon.instance.get_run_records()
        clock.now_us = int(record.create_timestamp.timestamp() * 1_000_000) + HOUR_US
        assert daemon.tick() == []
        clock.now_us += 7 * HOUR_US
        assert daemon.tick()


def test_empty_warehouse_gets_its_first_contract_run_once(
    tmp_path: Path, instance: dg.DagsterInstance, clock: Clock
) -> None:
    daemon = Daemon(contract_sensor, WarehouseResource(data_dir=str(tmp_path / "new")), instance, clock)
    (first,) = daemon.tick()
    assert daemon.restart().tick() == []
    assert first.startswith("contracts:first:")
    assert Daemon(drift_sensor, daemon.warehouse, instance, clock).tick() == []


def test_finding_is_alerted_once_by_two_daemons_and_after_restarts(
    daemon_of: DaemonOf, clock: Clock, webhook: Webhook
) -> None:
    daemon = daemon_of(drift_sensor)
    contract_run(daemon.warehouse.engine, clock.now_us, BROKEN)
    both = [threading.Thread(target=each.tick) for each in (daemon.restart(), daemon.restart())]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert len(webhook.received) == 1
    assert "yes_bid_dollars" in webhook.texts[0]
    for hour in range(1, 12):
        clock.now_us = START_US + hour * HOUR_US
        contract_run(daemon.warehouse.engine, clock.now_us, BROKEN)
        daemon = daemon.restart()
        daemon.tick()
    assert len(webhook.received) == 1


def test_alert_sent_but_not_recorded_is_sent_again_as_a_possible_repeat(
    daemon_of: DaemonOf, clock: Clock, webhook: Webhook
) -> None:
    daemon = daemon_of(drift_sensor)
    contract_run(daemon.warehouse.engine, clock.now_us, BROKEN)
    daemon.tick()
    # A daemon leaves these rows if it sends an alert and is then killed before it records the delivery.
    with daemon.warehouse.engine.begin() as connection:
        unrecorded = {"state": "sending", "sent_us": None, "claimed_us": clock.now_us}
        connection.execute(sa.update(alert_deliveries).values(unrecorded))
        connection.execute(sa.update(alerts).values(state="pending", finished_us=None))
    for _ in range(3):
        daemon.restart().tick()
    assert len(webhook.received) == 1
    clock.now_us += CLAIM_TIME_OUT_US + MINUTE_US
    for _ in range(3):
        daemon.restart().tick()
    assert len(webhook.received) == 2
    assert "may be a repeat" in webhook.texts[1]


def test_day_without_a_successful_run_fails_the_check_and_alerts_once(
    daemon_of: DaemonOf, clock: Clock, webhook: Webhook
) -> None:
    daemon = daemon_of(drift_sensor)
    contract_run(daemon.warehouse.engine, clock.now_us)
    for hour in range(72):
        clock.now_us = START_US + hour * HOUR_US
        contract_run(daemon.warehouse.engine, clock.now_us, is_success=False)
        daemon = daemon.restart()
        daemon.tick()
    assert [event.passed for event in daemon.events] == [True, False]
    assert webhook.titles == ["No contract run of sandbox for 24 hours"]
    contract_run(daemon.warehouse.engine, clock.now_us)
    daemon.tick()
    assert [event.passed for event in daemon.events] == [True, False, True]


def test_warehouse_without_any_contract_run_alerts_after_a_day(
    daemon_of: DaemonOf, clock: Clock, webhook: Webhook
) -> None:
    daemon = daemon_of(drift_sensor)
    for minutes in range(0, 23 * 60 + 50, 50):
        clock.now_us = START_US + minutes * MINUTE_US
        daemon = daemon.restart()
        daemon.tick()
    assert webhook.received == []
    for hour in (24, 25, 48):
        clock.now_us = START_US + hour * HOUR_US
        daemon.tick()
    assert webhook.titles == ["No contract run of sandbox for 24 hours"]
    assert "dagster job execute -m kalshi_pipelines -j contract_checks" in webhook.texts[0]
    assert [event.passed for event in daemon.events] == [False]

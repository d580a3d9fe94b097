"""Contract runs: which probes they send, what they report, and when the next run is due."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.__main__ import main
from kalshi_pipelines.contracts.comparison import body_decoding, checking
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome
from kalshi_pipelines.contracts.comparison.statuses import in_maintenance
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.health import FRESH_FOR_US, RUN_INTERVAL_US, alert_if_overdue, check_freshness, next_run
from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.runs import ContractReport, run_contract_checks
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.tables import alerts


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=300, tick_seconds=0, tier="unlimited")) as running:
        yield running


@pytest.fixture(autouse=True)
def _as_it_was(sandbox: SandboxProcess) -> Iterator[None]:
    yield
    httpx.delete(f"{sandbox.admin_url}/sandbox/drift", trust_env=False)


def run(engine: sa.Engine, sandbox: SandboxProcess, **values: object) -> ContractReport:
    settings = Settings.from_environment().model_copy(update={"run_live_api": False, **values})
    return run_contract_checks(settings, engine, lambda _: None, sandbox_url=sandbox.url)


def drift(sandbox: SandboxProcess, endpoint: str, *operations: dict[str, object]) -> None:
    asked = {"endpoint": endpoint, "operations": list(operations)}
    httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=asked, trust_env=False).raise_for_status()


def test_a_healthy_exchange_has_no_breaking_finding(engine: sa.Engine, sandbox: SandboxProcess) -> None:
    report = run(engine, sandbox)
    assert report.is_answered
    assert not report.is_broken
    assert report.outcomes["GET /series/{series_ticker}/markets/{ticker}/candlesticks"] is CheckOutcome.CHECKED


def test_skipped_probes_are_reported_with_the_reason(sqlite_engine: sa.Engine, sandbox: SandboxProcess) -> None:
    skipped = {each.name: each.why for each in run(sqlite_engine, sandbox).skipped}
    assert "KALSHI_API_KEY_ID" in skipped["GET /portfolio/balance"]
    assert "KALSHI_RUN_LIVE_API" in skipped["OpenAPI document"]
    assert "KALSHI_RUN_LIVE_API" in skipped["search at Exa"]


def test_production_is_not_probed_without_the_live_setting(sqlite_engine: sa.Engine, sandbox: SandboxProcess) -> None:
    report = run(sqlite_engine, sandbox, environment=Environment.PROD)
    assert report.environment is Environment.SANDBOX
    assert all(response.url.startswith(sandbox.url) for response in report.responses)


def test_a_missing_key_is_breaking_and_does_not_stop_other_probes(engine: sa.Engine, sandbox: SandboxProcess) -> None:
    drift(sandbox, "GET /markets", {"op": "remove", "path": "markets[].yes_bid_dollars"})
    report = run(engine, sandbox)
    assert report.is_broken
    assert {
        each.difference.endpoint for each in report.recorded.open if each.difference.severity is Severity.BREAKING
    } == {"GET /markets"}
    assert report.outcomes["GET /historical/trades"] in {CheckOutcome.CHECKED, CheckOutcome.EMPTY}


def test_a_difference_of_the_first_run_stays_open_until_it_is_gone(
    sqlite_engine: sa.Engine, sandbox: SandboxProcess
) -> None:
    drift(sandbox, "GET /markets", {"op": "set", "path": "markets[].price_level_structure", "value": "unheard_of"})
    drift(sandbox, "GET /series", {"op": "set", "path": "series[].news", "value": "x"})
    first = {("markets[].price_level_structure", Kind.VALUE_NEW), ("series[].news", Kind.KEY_NEW)}
    for number in range(4):
        before_us = now_us()
        report = run(sqlite_engine, sandbox)
        assert first <= {(each.difference.place, each.difference.kind) for each in report.recorded.open}, number
        assert all(each.last_seen_us >= before_us for each in report.recorded.open)
    httpx.delete(f"{sandbox.admin_url}/sandbox/drift", trust_env=False)
    for _ in range(2):
        report = run(sqlite_engine, sandbox)
    assert not first & {(each.difference.place, each.difference.kind) for each in report.recorded.open}


def test_a_run_with_a_baseline_decodes_and_compares_each_answer_once(
    sqlite_engine: sa.Engine, sandbox: SandboxProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sqlite_engine, sandbox)
    calls: Counter[str] = Counter()

    def count(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def counted(*arguments: Any) -> Any:
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(module, name, counted)

    count(body_decoding, "decode")
    count(checking, "observe")
    count(checking, "compare_with_contract")
    count(checking, "compare")
    answers = len(run(sqlite_engine, sandbox).responses)
    assert calls == {"decode": answers, "observe": answers, "compare_with_contract": answers, "compare": answers}


def test_an_exchange_that_does_not_answer_is_no_finding(sqlite_engine: sa.Engine) -> None:
    settings = Settings.from_environment().model_copy(update={"run_live_api": False})
    report = run_contract_checks(settings, sqlite_engine, lambda _: None, sandbox_url="http://127.0.0.1:9", seconds=2.5)
    assert not report.is_answered
    assert not report.recorded.open
    assert any("time of the run" in each.why for each in report.skipped)


def test_the_next_run_is_due_sooner_after_a_failed_run(engine: sa.Engine) -> None:
    start = now_us()
    assert next_run(engine, Environment.SANDBOX, start).key
    first = store.begin_run(engine, "sandbox", RunSource.PROBES, start)
    assert next_run(engine, Environment.SANDBOX, start + HOUR_US // 2).key is None
    store.fail_run(engine, first, "away", start)
    assert next_run(engine, Environment.SANDBOX, start).key is None
    failed = next_run(engine, Environment.SANDBOX, start + HOUR_US // 2)
    assert failed.key
    assert failed.key == next_run(engine, Environment.SANDBOX, start + HOUR_US // 2).key


def test_the_next_run_is_due_four_to_six_hours_after_a_success(
    sqlite_engine: sa.Engine, sandbox: SandboxProcess
) -> None:
    before = now_us()
    run(sqlite_engine, sandbox)
    assert next_run(sqlite_engine, Environment.SANDBOX, before + 4 * HOUR_US).key is None
    assert next_run(sqlite_engine, Environment.SANDBOX, now_us() + RUN_INTERVAL_US).key
    assert next_run(sqlite_engine, Environment.SANDBOX, now_us() + 100 * HOUR_US).key


def test_a_day_without_a_successful_run_sends_one_alert(engine: sa.Engine, sandbox: SandboxProcess) -> None:
    run(engine, sandbox)
    late = now_us() + FRESH_FOR_US
    assert check_freshness(engine, "sandbox", now_us()).is_fresh
    assert not alert_if_overdue(engine, "sandbox", late).is_fresh
    alert_if_overdue(engine, "sandbox", late + HOUR_US)
    with engine.connect() as connection:
        keys = connection.scalars(sa.select(alerts.c.message_key)).all()
    assert sum(key.startswith("overdue:") for key in keys) == 1


@pytest.mark.parametrize(
    ("instant_us", "expected"),
    [(1_795_651_200_000_000 + hour * HOUR_US, 8 <= hour % 168 < 10) for hour in (0, 7, 8, 9, 10, 32, 168 + 8)],
)
def test_maintenance_is_on_thursdays_from_three_to_five_in_new_york(instant_us: int, expected: bool) -> None:
    # The first instant is Thursday 2026-11-26 at 00:00 UTC. New York is five hours behind UTC.
    assert in_maintenance(instant_us) is expected


def test_the_command_line_runs_lists_shows_and_acknowledges(
    migrated_file: Path,
    sandbox: SandboxProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "sandbox" / "warehouse.db"
    file.parent.mkdir()
    file.write_bytes(migrated_file.read_bytes())
    monkeypatch.delenv("KALSHI_RUN_LIVE_API", raising=False)
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KALSHI_SANDBOX_URL", sandbox.url)
    drift(sandbox, "GET /markets", {"op": "remove", "path": "markets[].yes_bid_dollars"})
    assert main(["run"]) == 1
    assert main(["findings"]) == 0
    number = capsys.readouterr().out.rpartition(" breaking")[0].split("\n")[-1].split()[0]
    assert main(["show", number]) == 0
    assert "opened" in capsys.readouterr().out
    assert main(["acknowledge", number, "--why", "known", "--who", "me"]) == 0
    assert main(["show", "999999"]) == 2
    assert "There is no finding" in capsys.readouterr().err

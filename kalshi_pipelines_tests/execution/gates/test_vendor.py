"""Vendor checks: trading needs an API that was checked in the last 24 hours and has no breaking finding."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.findings.store import EndpointResult, begin_run, record
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.execution.gates.order_checks import first_denial
from kalshi_pipelines.execution.gates.vendor import DEPENDS_ON, vendor_checks
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.units import DAY_US, HOUR_US
from kalshi_pipelines.warehouse.engine import open_engine

NOW_US = 1_000 * HOUR_US


def _checked(engine: sa.Engine, *endpoints: str, severity: Severity = Severity.BREAKING, at_us: int = NOW_US) -> None:
    """Record a successful contract run with a finding at each endpoint."""
    results = [
        EndpointResult(
            endpoint,
            CheckResult(
                CheckOutcome.CHECKED,
                (Difference(endpoint, "x", Kind.KEY_MISSING, severity, "there", "gone", "e", (), "Look."),),
                None,
            ),
        )
        for endpoint in endpoints
    ]
    results.append(EndpointResult("GET /live_data", CheckResult(CheckOutcome.CHECKED, (), None)))
    record(engine, begin_run(engine, "demo", RunSource.PROBES, at_us), results, at_us)


def _reason(engine: sa.Engine, environment: str = "demo", now_us: int = NOW_US) -> DenialReason | None:
    denied = first_denial(vendor_checks(engine, environment, now_us))
    return denied.reason if denied else None


def test_contract_run_counts_for_a_day_in_its_environment(sqlite_engine: sa.Engine) -> None:
    assert _reason(sqlite_engine) is DenialReason.CONTRACTS_NOT_CHECKED
    _checked(sqlite_engine)
    day = DAY_US
    for now, reason in [(NOW_US, None), (NOW_US + day, None)]:
        assert _reason(sqlite_engine, now_us=now) is reason
    for now in (NOW_US - 1, NOW_US + day + 1):
        assert _reason(sqlite_engine, now_us=now) is DenialReason.CONTRACTS_NOT_CHECKED
    assert _reason(sqlite_engine, "prod") is DenialReason.CONTRACTS_NOT_CHECKED


def test_only_breaking_findings_of_needed_endpoints_stop_trading(sqlite_engine: sa.Engine) -> None:
    _checked(sqlite_engine, "GET /portfolio/fills", severity=Severity.ADDITIVE)
    _checked(sqlite_engine, "GET /milestones")
    assert _reason(sqlite_engine) is None
    _checked(sqlite_engine, *sorted(DEPENDS_ON)[:6])
    assert _reason(sqlite_engine) is DenialReason.CONTRACTS_BROKEN
    observed = vendor_checks(sqlite_engine, "demo", NOW_US)[1].observed
    assert observed.split(", ") == [f"{endpoint} x" for endpoint in sorted(DEPENDS_ON)[:5]]
    assert _reason(sqlite_engine, "prod") is DenialReason.CONTRACTS_NOT_CHECKED


def test_unreadable_warehouse_fails_the_vendor_check(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/never made/x.db")
    assert _reason(engine) is DenialReason.CONTRACTS_NOT_CHECKED
    engine.dispose()


@pytest.mark.parametrize("endpoint", ["GET /markets/{ticker}", "GET /portfolio/orders", "GET /exchange/status"])
def test_orders_depend_on_the_endpoints_that_trading_reads(endpoint: str) -> None:
    assert endpoint in DEPENDS_ON

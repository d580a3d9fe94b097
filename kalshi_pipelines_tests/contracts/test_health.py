"""An endpoint without findings is reported as healthy only if it was checked recently."""

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.findings import store
from kalshi_pipelines.contracts.findings.life_cycle import RunSource
from kalshi_pipelines.contracts.health import endpoint_health
from kalshi_pipelines.contracts.probing.other_vendor_probes import SEARCH
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import HOUR_US

START_US = 1_795_348_800_000_000


def record_outcome(engine: sa.Engine, endpoint: str, outcome: CheckOutcome, at_us: int = START_US) -> None:
    run = store.begin_run(engine, "sandbox", RunSource.PROBES, at_us)
    store.record(engine, run, [store.EndpointResult(endpoint, CheckResult(outcome, (), None))], at_us)


def health_of(engine: sa.Engine, endpoint: str, hours: int = 0, **values: object) -> tuple[bool, str]:
    settings = Settings.from_environment().model_copy(update={"run_live_api": False, **values})
    standing = endpoint_health(engine, settings, [endpoint], START_US + hours * HOUR_US)[endpoint]
    return standing.is_checked, standing.sentence


def test_an_endpoint_compared_within_a_day_is_checked(engine: sa.Engine) -> None:
    assert not health_of(engine, "GET /markets")[0]
    record_outcome(engine, "GET /markets", CheckOutcome.EMPTY)
    assert health_of(engine, "GET /markets", 23) == (True, "last checked 2026-11-22 12:00 UTC")
    assert not health_of(engine, "GET /markets", 24)[0]


@pytest.mark.parametrize("outcome", [CheckOutcome.REFUSED, CheckOutcome.UNREACHABLE, CheckOutcome.MAINTENANCE])
def test_an_endpoint_without_a_comparison_names_its_last_outcome(
    sqlite_engine: sa.Engine, outcome: CheckOutcome
) -> None:
    record_outcome(sqlite_engine, "GET /markets", outcome)
    assert health_of(sqlite_engine, "GET /markets") == (
        False,
        f"never checked: the outcome of the last probe was '{outcome}'",
    )


def test_an_endpoint_that_settings_skip_says_why_and_its_last_check(sqlite_engine: sa.Engine) -> None:
    endpoint = "GET /portfolio/balance"
    record_outcome(sqlite_engine, endpoint, CheckOutcome.CHECKED)
    is_checked, why = health_of(sqlite_engine, endpoint, 1)
    assert not is_checked
    assert "KALSHI_PRIVATE_KEY_FILE (last checked 2026-11-22 12:00 UTC)" in why
    assert health_of(sqlite_engine, endpoint, 1, api_key_id="k", private_key_file="k.pem")[0]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "KALSHI_RUN_LIVE_API"),
        ({"run_live_api": True}, "EXA_API_KEY"),
        ({"run_live_api": True, "exa_api_key": SecretStr("x")}, "KALSHI_EXA_DAILY_PROBE_DOLLARS"),
    ],
)
def test_each_reason_to_skip_the_search_names_its_setting(
    sqlite_engine: sa.Engine, values: dict[str, object], why: str
) -> None:
    is_checked, sentence = health_of(sqlite_engine, SEARCH, 0, environment=Environment.DEMO, **values)
    assert not is_checked
    assert why in sentence

"""An endpoint is not called healthy because nothing was found at it: it has to have been asked, and lately."""

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


def answered(engine: sa.Engine, endpoint: str, outcome: CheckOutcome, at_us: int = START_US) -> None:
    run = store.begin_run(engine, "sandbox", RunSource.PROBES, at_us)
    store.record(engine, run, [store.EndpointResult(endpoint, CheckResult(outcome, (), None))], at_us)


def told(engine: sa.Engine, endpoint: str, hours: int = 0, **values: object) -> tuple[bool, str]:
    settings = Settings.from_environment().model_copy(update={"run_live_api": False, **values})
    standing = endpoint_health(engine, settings, [endpoint], START_US + hours * HOUR_US)[endpoint]
    return standing.is_checked, standing.sentence


def test_what_was_compared_within_a_day_is_checked(engine: sa.Engine) -> None:
    assert not told(engine, "GET /markets")[0]
    answered(engine, "GET /markets", CheckOutcome.EMPTY)
    assert told(engine, "GET /markets", 23) == (True, "last checked 2026-11-22 12:00 UTC")
    assert not told(engine, "GET /markets", 24)[0]


@pytest.mark.parametrize("outcome", [CheckOutcome.REFUSED, CheckOutcome.UNREACHABLE, CheckOutcome.MAINTENANCE])
def test_an_answer_that_could_not_be_compared_is_named(sqlite_engine: sa.Engine, outcome: CheckOutcome) -> None:
    answered(sqlite_engine, "GET /markets", outcome)
    assert told(sqlite_engine, "GET /markets") == (
        False,
        f"never checked: the outcome of the last probe was '{outcome}'",
    )


def test_what_can_not_be_asked_any_more_says_why_and_when_it_was(sqlite_engine: sa.Engine) -> None:
    endpoint = "GET /portfolio/balance"
    answered(sqlite_engine, endpoint, CheckOutcome.CHECKED)
    is_checked, why = told(sqlite_engine, endpoint, 1)
    assert not is_checked
    assert "KALSHI_PRIVATE_KEY_FILE (last checked 2026-11-22 12:00 UTC)" in why
    assert told(sqlite_engine, endpoint, 1, api_key_id="k", private_key_file="k.pem")[0]


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({}, "KALSHI_RUN_LIVE_API"),
        ({"run_live_api": True}, "EXA_API_KEY"),
        ({"run_live_api": True, "exa_api_key": SecretStr("x")}, "KALSHI_EXA_DAILY_PROBE_DOLLARS"),
    ],
)
def test_each_reason_not_to_search_names_its_setting(
    sqlite_engine: sa.Engine, values: dict[str, object], why: str
) -> None:
    is_checked, sentence = told(sqlite_engine, SEARCH, 0, environment=Environment.DEMO, **values)
    assert not is_checked
    assert why in sentence

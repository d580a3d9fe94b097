"""Checks of vendor endpoints: an unchecked endpoint is not shown as healthy, and drift is shown with its remedy."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.contracts.endpoints import ENDPOINTS, endpoint_key
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

SIGNED = ("GET /portfolio/balance", "GET /portfolio/orders", "GET /account/limits", "GET /historical/fills")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxProcess]:
    with running_sandbox(SandboxOptions(markets=300, tick_seconds=0, tier="unlimited")) as running:
        yield running


@pytest.fixture
def definitions(sandbox: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.delenv("KALSHI_RUN_LIVE_API", raising=False)
    return build_defs(
        warehouse=WarehouseResource(data_dir=str(tmp_path)), exchange=ExchangeResource(sandbox_url=sandbox.url)
    )


def run(definitions: dg.Definitions) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def("contract_checks").execute_in_process(raise_on_error=False)


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    by_key = {each.asset_key: each for each in result.get_asset_check_evaluations()}
    return {endpoint: by_key[endpoint_key(endpoint)] for endpoint in ENDPOINTS}


def outcomes(result: dg.ExecuteInProcessResult) -> dict[str, str]:
    (made,) = result.asset_materializations_for_node("contract_findings")
    metadata: Any = made.metadata
    table = metadata["outcomes"].records
    return {record.data["endpoint"]: record.data["outcome"] for record in table}


def test_endpoint_that_needs_a_missing_key_shows_a_warning_with_the_reason(
    definitions: dg.Definitions,
) -> None:
    result = run(definitions)
    assert result.success
    shown, outcome_of = checks(result), outcomes(result)
    assert set(outcome_of) == set(ENDPOINTS)
    for endpoint in SIGNED:
        assert not shown[endpoint].passed
        assert shown[endpoint].severity is dg.AssetCheckSeverity.WARN
        assert shown[endpoint].description == (
            "skipped: no canary key: set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE (never checked)"
        )
        assert outcome_of[endpoint].startswith("skipped: no canary key")
    assert "KALSHI_RUN_LIVE_API" in str(shown["POST api.exa.ai/search"].description)
    healthy = {endpoint for endpoint, each in shown.items() if each.passed}
    assert healthy >= {"GET /markets", "GET /events", "GET /exchange/status", "GET /markets/{ticker}/orderbook"}
    assert all(str(shown[endpoint].description).startswith("no open finding; last checked 20") for endpoint in healthy)
    assert all(outcome_of[endpoint] in {"checked", "empty"} for endpoint in healthy)
    data: list[Any] = [each.event_specific_data for each in result.all_events if each.is_asset_observation]
    seen = {each.asset_observation.asset_key for each in data}
    assert endpoint_key("GET /markets") in seen
    assert not seen & {endpoint_key(endpoint) for endpoint in SIGNED}


def test_one_endpoint_check_can_be_executed_alone(definitions: dg.Definitions) -> None:
    assert run(definitions).success
    check = dg.AssetCheckKey(endpoint_key("GET /events"), "contract")
    job = definitions.resolve_job_def("contract_checks").get_subset(
        asset_check_selection={check}, asset_selection=set()
    )
    (only,) = job.execute_in_process().get_asset_check_evaluations()
    assert (only.asset_key, only.passed) == (check.asset_key, True)


def test_endpoint_that_needs_a_key_is_checked_with_the_key(
    definitions: dg.Definitions, sandbox: SandboxProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = RequestSigner("canary")
    pem = signer.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "key.pem").chmod(0o600)
    key = {"key_id": "canary", "public_key_pem": signer.public_pem, "scopes": ["read"]}
    httpx.post(f"{sandbox.admin_url}/sandbox/keys", json=key, trust_env=False).raise_for_status()
    monkeypatch.setenv("KALSHI_API_KEY_ID", "canary")
    monkeypatch.setenv("KALSHI_PRIVATE_KEY_FILE", str(tmp_path / "key.pem"))
    result = run(definitions)
    shown, outcome_of = checks(result), outcomes(result)
    assert result.success
    assert all(shown[endpoint].passed for endpoint in SIGNED), [shown[endpoint].description for endpoint in SIGNED]
    assert all(outcome_of[endpoint] in {"checked", "empty"} for endpoint in SIGNED)


def test_drift_shows_as_an_error_with_place_time_and_remedy(
    definitions: dg.Definitions, sandbox: SandboxProcess
) -> None:
    removed = {"endpoint": "GET /markets", "operations": [{"op": "remove", "path": "markets[].yes_bid_dollars"}]}
    httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=removed, trust_env=False).raise_for_status()
    try:
        result = run(definitions)
    finally:
        httpx.delete(f"{sandbox.admin_url}/sandbox/drift", trust_env=False)
    assert not result.success
    shown = checks(result)
    broken = shown["GET /markets"]
    assert (broken.passed, broken.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "1 breaking" in str(broken.description)
    assert "it breaks" in str(broken.description)
    assert "python -m kalshi_pipelines.contracts show" in str(broken.description)
    metadata: Any = broken.metadata
    table = metadata["findings"].records
    (row,) = [record.data for record in table if record.data["severity"] == "breaking"]
    assert row["place"] == "markets[].yes_bid_dollars"
    assert "price_snapshots" in row["breaks"]
    assert row["since"]
    assert row["what to do"]
    assert shown["GET /events"].passed


def test_contract_run_that_reaches_no_vendor_fails_and_does_not_look_fresh(
    definitions: dg.Definitions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kalshi_pipelines.contracts.probing.probe_client._AGAIN_AFTER_SECONDS", 0)
    nobody = build_defs(
        warehouse=WarehouseResource(data_dir=str(tmp_path)), exchange=ExchangeResource(sandbox_url="http://127.0.0.1:9")
    )
    result = run(nobody)
    assert not result.success
    assert result.asset_materializations_for_node("contract_findings") == []
    policy = definitions.resolve_asset_graph().get(dg.AssetKey("contract_findings")).freshness_policy
    assert policy == dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=12), fail_window=timedelta(hours=24))

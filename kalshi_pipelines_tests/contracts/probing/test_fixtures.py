"""Recorded answers contain no personal data, give the same check results as the real answers, and state their age."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.__main__ import main
from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.comparison.cross_checks import cross_check
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest
from kalshi_pipelines.contracts.probing.fixtures import (
    NoRecording,
    RecordingIsOld,
    describe_age,
    read_recording,
    write_recording,
)
from kalshi_pipelines.contracts.probing.pseudonyms import Pseudonyms
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.units import DAY_US
from kalshi_pipelines.warehouse.tables import alerts, contract_baselines, contract_findings, contract_runs
from kalshi_pipelines_tests.support.contracts.recorded import with_bodies
from kalshi_pipelines_tests.support.contracts.sandbox_answers import SandboxAnswers
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, local_sandbox
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

KEY_ID = "b0a7c2ee-1111-4222-8333-944455556666"
OWN_WORDS = ("somebody-s-strategy", "me.myself@example.org", "4815162342")
#: Identifiers that occur as keys in a member's data.
IDENTIFIER_KEYS = (
    "order_id",
    "client_order_id",
    "user_id",
    "fill_id",
    "trade_id",
    "order_group_id",
    "id",
    "transfer_id",
)


@pytest.fixture(scope="module")
def answers() -> Iterator[list[Response]]:
    """Answers to public and signed requests of a member. It has two sub-accounts, and its order ids reveal names."""
    local = local_sandbox(SandboxOptions(markets=300, combos=20, tier="unlimited", seed=11))
    with local.client:
        signer = RequestSigner(KEY_ID, now_ms=lambda: local.time.microseconds // 1_000)
        local.steer("POST", "/keys", key_id=KEY_ID, public_key_pem=signer.public_pem)
        exchange = SandboxAnswers(local, signer)
        local.client.post(f"{API}/portfolio/subaccounts", auth=signer).raise_for_status()
        group = {"contracts_limit": 10}
        local.client.post(f"{API}/portfolio/order_groups/create", json=group, auth=signer).raise_for_status()
        ticker = local.markets(status="open", mve_filter="exclude")[0]["ticker"]
        for name in OWN_WORDS:
            order = {
                "ticker": ticker,
                "client_order_id": name,
                "side": "bid",
                "count": "1.00",
                "price": "0.0100",
                "time_in_force": "good_till_canceled",
                "self_trade_prevention_type": "maker",
            }
            assert exchange.ask("POST /portfolio/events/orders", order).status == 201
        yield list(exchange.everything())


def identifiers(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from identifiers(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from identifiers(each, key)
    elif key in IDENTIFIER_KEYS and isinstance(value, str) and len(value) > 2:
        yield value


def test_a_recording_contains_no_identifier_of_the_member(answers: list[Response], tmp_path: Path) -> None:
    own = {each for answer in answers if answer.request.is_signed for each in identifiers(json.loads(answer.body))}
    assert len(own) > 10
    assert own >= set(OWN_WORDS)
    assert write_recording(answers, tmp_path, answers[0].received_us) == len(answers)
    text = "".join(file.read_text() for file in tmp_path.iterdir())
    assert [each for each in (*own, KEY_ID) if each in text] == []


def test_a_recording_gives_the_same_check_results_as_the_answers(answers: list[Response], tmp_path: Path) -> None:
    at_us = answers[0].received_us
    write_recording(answers, tmp_path, at_us)
    recorded = read_recording(tmp_path, at_us)
    assert [each.request.endpoint for each in recorded] == [each.request.endpoint for each in answers]
    seen = [[(checked.outcome, checked.differences) for checked in map(check, each)] for each in (recorded, answers)]
    assert seen[0] == seen[1]
    assert cross_check(with_bodies(recorded)) == ()
    orders = {row["order_id"] for row in body_of(recorded, "GET /portfolio/orders")["orders"]}
    assert {row["order_id"] for row in body_of(recorded, "GET /portfolio/fills")["fills"]} <= orders


def body_of(responses: list[Response], endpoint: str) -> Any:
    return next(json.loads(each.body) for each in responses if each.request.endpoint == endpoint)


def test_undeclared_data_of_a_member_is_replaced() -> None:
    body = {
        "account": {
            "holder": "Jane Roe",
            "address": {"street": "1 Main St"},
            "account_number": 123456789,
            "ssn": "078051120",
            "note": "mail jane@example.org",
            "referral": "JANEROE",
        },
        "subaccount_number": 7,
        "opened": "2026-01-02T03:04:05Z",
        "total": "12.3400",
        "active": True,
        "share": 0.25,
        "8eab5374-8500-5e4a-8f64-593c8752fdc1": [["Jane", 1]],
    }
    clean = Pseudonyms("salt").without_identifiers(body, VendorRequest("GET /portfolio/balance", is_signed=True))
    text = json.dumps(clean)
    for secret in ("Jane", "Roe", "Main", "123456789", "078051120", "JANE", "8eab5374"):
        assert secret not in text
    assert len(str(clean["account"]["account_number"])) == len(clean["account"]["ssn"]) == 9
    assert clean["subaccount_number"] == 1  # pseudonyms of sub-accounts begin at 1, because 0 is the primary account
    kept = ("opened", "total", "active", "share")
    assert [clean[name] for name in kept] == [body[name] for name in kept]


def test_a_refusal_keeps_its_sentence_without_the_identifiers() -> None:
    body = {"error": {"code": "not_found", "message": f"no order of {KEY_ID} (me@example.org)"}}
    clean = Pseudonyms("salt").without_identifiers(body, VendorRequest("GET /portfolio/orders", is_signed=True), 404)
    assert clean["error"]["code"] == "not_found"
    assert clean["error"]["message"].startswith("no order of ")
    assert KEY_ID not in clean["error"]["message"]
    assert "me@" not in clean["error"]["message"]


def test_two_recordings_share_no_identifier(answers: list[Response], tmp_path: Path) -> None:
    rows = []
    for name in ("first", "second"):
        write_recording(answers, tmp_path / name, answers[0].received_us)
        recorded = read_recording(tmp_path / name, answers[0].received_us)
        rows.append({row["order_id"] for row in body_of(recorded, "GET /portfolio/orders")["orders"]})
    assert not rows[0] & rows[1]


def test_an_old_recording_warns_when_it_is_described_or_read(tmp_path: Path) -> None:
    answer = Response(
        VendorRequest("GET /exchange/status"), 200, {}, b'{"exchange_active": true}', 1, "http://x", "sandbox"
    )
    html = Response(VendorRequest("GET /exchange/status"), 200, {}, b"<html>", 1, "http://x", "sandbox")
    assert write_recording([answer, html], tmp_path, 0) == 1
    assert describe_age(tmp_path, 30 * DAY_US) == f"The recording in {tmp_path} is 30 days old."
    assert len(read_recording(tmp_path, 30 * DAY_US)) == 1
    assert "WARNING" in describe_age(tmp_path, 31 * DAY_US)
    with pytest.warns(RecordingIsOld, match="31 days"):
        read_recording(tmp_path, 31 * DAY_US)
    with pytest.raises(NoRecording, match="contracts record"):
        read_recording(tmp_path / "none", 0)


def test_recording_again_removes_the_files_of_the_last_recording(tmp_path: Path) -> None:
    status = Response(VendorRequest("GET /exchange/status"), 200, {}, b"{}", 1, "http://x", "sandbox")
    schedule = Response(VendorRequest("GET /exchange/schedule"), 200, {}, b"{}", 1, "http://x", "sandbox")
    write_recording([status, schedule], tmp_path, 0)
    (tmp_path / "mine.txt").write_text("kept")
    write_recording([status], tmp_path, 0)
    assert {file.name for file in tmp_path.iterdir()} == {"recorded.json", "get_exchange_status.json", "mine.txt"}


def test_the_record_command_changes_no_baseline_finding_or_alert(
    sqlite_engine: sa.Engine,
    frozen_sandbox: SandboxProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("KALSHI_RUN_LIVE_API", raising=False)
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", f"sqlite:///{sqlite_engine.url.database}")
    monkeypatch.setenv("KALSHI_SANDBOX_URL", frozen_sandbox.url)
    drifted = {"endpoint": "GET /series", "operations": [{"op": "remove", "path": "series[].title"}]}
    httpx.post(f"{frozen_sandbox.admin_url}/sandbox/drift", json=drifted, trust_env=False).raise_for_status()
    try:
        assert main(["record", str(tmp_path / "fixtures")]) == 0
    finally:
        httpx.delete(f"{frozen_sandbox.admin_url}/sandbox/drift", trust_env=False)
    assert "answers of sandbox written to" in capsys.readouterr().out
    with sqlite_engine.connect() as connection:
        for table in (contract_runs, contract_baselines, contract_findings, alerts):
            assert connection.execute(sa.select(table)).all() == [], table.name
    assert main(["record", "--age", str(tmp_path / "fixtures")]) == 0
    assert "is 0 days old" in capsys.readouterr().out

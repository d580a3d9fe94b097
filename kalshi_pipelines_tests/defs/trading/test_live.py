"""Live sessions in Dagster against a sandbox: each order is placed once, and no file contains a key."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.definitions import build_defs
from kalshi_pipelines.defs.resources import ExchangeResource, WarehouseResource
from kalshi_pipelines.execution.inbox.proposals import propose
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.units import instant, now_us
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, proposed, sandbox_with_member

Values = dict[str, Any]


@pytest.fixture
def member(tmp_path: Path) -> Iterator[SandboxMember]:
    (tmp_path / "keys").mkdir()
    with sandbox_with_member(tmp_path / "keys") as made:
        yield made


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that stores everything in files."""
    (tmp_path / "dagster").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster")) as made:
        yield made


@pytest.fixture
def definitions(
    member: SandboxMember, tmp_path: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> dg.Definitions:
    """Trading definitions, with all settings of a live session in this process's environment."""
    settings = member.settings()
    assert settings.arm
    for name, value in {
        "MODE": "live",
        "API_KEY_ID": member.key_id,
        "PRIVATE_KEY_FILE": str(member.key_file),
        "URL": member.sandbox.url,
        "SERIES": "*",
        "APPROVAL_DOLLARS": "50",
        "ARM": settings.arm.get_secret_value(),
    }.items():
        monkeypatch.setenv(f"KALSHI_TRADE_{name}", value)
    warehouse = WarehouseResource(data_dir=str(tmp_path / "data"))
    definitions = build_defs(warehouse=warehouse, exchange=ExchangeResource(sandbox_url=member.sandbox.url))
    assert definitions.resolve_job_def("migrate").execute_in_process(instance=instance).success
    engine = open_engine(warehouse.settings.resolved_warehouse_url)
    run_contract_checks(warehouse.settings, engine, lambda line: None, sandbox_url=member.sandbox.url)
    engine.dispose()
    return definitions


@pytest.fixture
def journal(definitions: dg.Definitions, tmp_path: Path) -> Iterator[Journal]:
    """The journal of the trading definitions, with its kill switch released."""
    engine = open_journal(f"sqlite:///{tmp_path / 'data' / 'sandbox' / 'journal.db'}")
    made = Journal(engine, "sandbox")
    with made.writing() as transaction:
        transaction.halts.release("bob", "ready to trade")
    yield made
    engine.dispose()


def arm(member: SandboxMember, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a new arm token into this process's environment."""
    settings = member.settings()
    assert settings.arm
    monkeypatch.setenv("KALSHI_TRADE_ARM", settings.arm.get_secret_value())


def run(definitions: dg.Definitions, instance: dg.DagsterInstance, job: str = "trade", **armed: str) -> Any:
    config = {"armed_by": "ann", "why": "a try", "armed_at": instant(now_us()).isoformat(), **armed}
    run_config = {"ops": {"executed_orders": {"config": config}}} if job == "trade" else {}
    return definitions.resolve_job_def(job).execute_in_process(
        run_config=run_config, instance=instance, raise_on_error=False
    )


def decided(result: Any) -> list[tuple[str, str]]:
    (made,) = result.asset_materializations_for_node("executed_orders")
    return [(row.data["decision"], row.data["why"]) for row in made.metadata["decisions"].records]


def failure_of(result: Any) -> str:
    (failure,) = [event for event in result.all_node_events if event.is_step_failure]
    return str(failure.step_failure_data.user_failure_data.description)


@pytest.mark.usefixtures("journal")
def test_armed_run_and_token_open_one_live_session(
    member: SandboxMember, definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = {"armed_at": instant(now_us()).isoformat(), "nonce": "0123456789abcdef"}
    assert run(definitions, instance, **armed).success
    assert "has already opened a live session" in failure_of(run(definitions, instance, **armed))
    arm(member, monkeypatch)
    assert "has already opened a live session" in failure_of(run(definitions, instance, **armed))
    assert run(definitions, instance, **{**armed, "nonce": "another"}).success
    assert "has already opened a live session" in failure_of(run(definitions, instance))


@pytest.mark.usefixtures("journal")
def test_armed_run_in_a_process_without_token_says_what_is_missing(
    definitions: dg.Definitions, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KALSHI_TRADE_ARM")
    result = run(definitions, instance)
    missing = "The run was armed by run.yaml, but the process that runs it has no KALSHI_TRADE_ARM"
    failure = failure_of(result)
    assert missing in failure
    assert "start the run with `dagster job execute` in the armed shell" in failure
    (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "armed_by_hand"]
    assert not check.passed
    assert check.description.startswith(missing)


def test_F15_order_proposed_and_run_twice_is_placed_once(
    member: SandboxMember,
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    journal: Journal,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    market = member.tradable()
    order, other = proposed(market), proposed(market)
    engine = open_journal(f"sqlite:///{tmp_path / 'data' / 'sandbox' / 'journal.db'}")
    propose(engine, [order], "a test")
    assert decided(run(definitions, instance)) == [("placed", "")]
    arm(member, monkeypatch)
    propose(engine, [order, other], "a test, again")
    assert [decision for decision, _why in decided(run(definitions, instance))] == ["known", "placed"]
    assert len(member.orders_on_exchange()) == 2
    assert run(definitions, instance, "reconcile").success
    assert run(definitions, instance, "verify_audit").success
    engine.dispose()

    # An order that this project did not place fails the reconciliation, and the next session does not open.
    member.client.close()
    foreign = {
        "ticker": market["ticker"],
        "client_order_id": "by-hand-1",
        "side": "bid",
        "count": "1.00",
        "price": market["yes_bid_dollars"],
        "time_in_force": "good_till_canceled",
        "self_trade_prevention_type": "taker_at_cross",
    }
    headers = member.signer.headers("POST", "/trade-api/v2/portfolio/events/orders")
    member.http.post(f"{member.sandbox.url}/portfolio/events/orders", json=foreign, headers=headers).raise_for_status()
    assert "foreign_order" in failure_of(run(definitions, instance, "reconcile"))
    with journal.reading() as reading:
        assert reading.halts.kill_state().engaged
    arm(member, monkeypatch)
    assert "kill switch" in failure_of(run(definitions, instance)).lower()
    assert len(member.orders_on_exchange()) == 3

    secrets = secrets_of(member)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != member.key_file.parent]
    assert {"journal.db", "journal.anchors", "warehouse.db"} <= {path.name for path in written}
    assert any("dagster" in path.parts for path in written)
    leaks = [(path, secret) for path in written for secret in secrets if secret in path.read_bytes()]
    assert leaks == []


def secrets_of(member: SandboxMember) -> list[bytes]:
    """Return the forms of a key that no file may contain: lines of the PEM file, raw bytes, and hexadecimal."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    pem = member.key_file.read_bytes()
    raw = load_pem_private_key(pem, None).private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return [*pem.split(b"\n")[1:-2], b"PRIVATE KEY", raw, raw.hex().encode()]


@pytest.mark.usefixtures("journal")
def test_trade_made_elsewhere_is_a_warning_of_the_verification(
    member: SandboxMember, definitions: dg.Definitions, instance: dg.DagsterInstance
) -> None:
    assert run(definitions, instance).success
    market = member.tradable()
    order = {"side": "bid", "count": "1.00", "price": market["yes_ask_dollars"], "ticker": market["ticker"]}
    terms = {"time_in_force": "immediate_or_cancel", "self_trade_prevention_type": "taker_at_cross"}
    for verdict in ("clean", "explained"):
        result = run(definitions, instance, "verify_audit")
        assert result.success
        (check,) = result.get_asset_check_evaluations()
        assert (check.check_name, check.passed) == ("verified", verdict == "clean"), check.description
        assert check.severity is dg.AssetCheckSeverity.WARN
        assert check.description.startswith(f"{verdict}: ")
        assert by_hand(member, "POST", "/portfolio/events/orders", **order, **terms).status_code == 201

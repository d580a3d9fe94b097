import shlex
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_pipelines.sandbox.access.memberships import DEFAULT_MEMBER, UnusableScopes, allows, check_scopes
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.create_key import main
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines.sandbox.process import SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.sandbox.local_sandbox import (
    API,
    NOON_US,
    LocalSandbox,
    in_this_thread,
    local_sandbox,
)
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

TINY = SandboxOptions(markets=20, combos=2, tier="unlimited", warm=False)


def _whoami(exchange: Exchange, call: Call) -> bytes:
    asked = call.query.integer("subaccount")
    return f'{{"member":"{call.member}","subaccount":{call.subaccount(asked)}}}'.encode()


PROBES = (
    Endpoint("A", "GET", "/read", _whoami, needs_key=True, scope="read"),
    Endpoint("B", "GET", "/balance", _whoami, needs_key=True, scope="read::portfolio_balance"),
    Endpoint("C", "POST", "/trade", _whoami, needs_key=True, scope="write::trade"),
    Endpoint("D", "POST", "/transfer", _whoami, needs_key=True, scope="write::transfer", for_locked_keys=False),
    Endpoint("E", "GET", "/any", _whoami, needs_key=True),
)


@pytest.fixture
def probed() -> Iterator[LocalSandbox]:
    time = ManualClock(NOON_US)
    exchange = exchange_of(TINY, ExchangeClock(time))
    with in_this_thread(sandbox_app(exchange, PROBES)) as client:
        yield LocalSandbox(exchange, time, client)


def _signer(sandbox: LocalSandbox, **request: object) -> RequestSigner:
    signer = RequestSigner("my-key", now_ms=lambda: sandbox.time.microseconds // 1_000)
    sandbox.steer("POST", "/keys", key_id="my-key", public_key_pem=signer.public_pem, **request)
    return signer


def _statuses(sandbox: LocalSandbox, signer: RequestSigner) -> dict[str, int]:
    return {
        probe.template: sandbox.client.request(probe.method, API + probe.template, auth=signer).status_code
        for probe in PROBES
    }


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (["read", "write"], {"/read", "/balance", "/trade", "/transfer", "/any"}),
        (["read"], {"/read", "/balance", "/any"}),
        (["read", "write::trade"], {"/read", "/balance", "/trade", "/any"}),
        (["write::trade"], {"/trade", "/any"}),
        (["read::portfolio_balance"], {"/balance", "/any"}),
    ],
)
def test_a_key_may_do_what_its_scopes_and_their_parents_say(
    probed: LocalSandbox, scopes: list[str], allowed: set[str]
) -> None:
    statuses = _statuses(probed, _signer(probed, scopes=scopes))
    assert {path for path, status in statuses.items() if status == 200} == allowed
    assert {status for path, status in statuses.items() if path not in allowed} <= {403}


def test_a_refusal_for_a_scope_has_the_nested_body_and_names_the_scope(probed: LocalSandbox) -> None:
    signer = _signer(probed, scopes=["read"])
    error = probed.client.post(API + "/trade", auth=signer).json()["error"]
    assert error["code"] == "forbidden"
    assert "write::trade" in error["details"]


def test_a_locked_key_acts_for_its_subaccount_and_for_no_other(probed: LocalSandbox) -> None:
    signer = _signer(probed, subaccount=3, member="ann")
    for query in ("", "?subaccount=3"):
        answer = probed.client.get(API + "/read" + query, auth=signer)
        assert answer.json() == {"member": "ann", "subaccount": 3}
    assert probed.client.get(API + "/read?subaccount=0", auth=signer).status_code == 403
    assert probed.client.post(API + "/transfer", auth=signer).status_code == 403
    assert probed.exchange.venue.state.members["ann"].subaccounts == {0, 1, 2, 3}


def test_scopes_that_are_unknown_or_incomplete_are_refused_and_leave_nothing(probed: LocalSandbox) -> None:
    pem = RequestSigner("x").public_pem
    before = len(probed.exchange.log.events)
    refused: list[dict[str, object]] = [{"scopes": ["write"]}, {"scopes": ["all"]}, {"scopes": []}, {"scopes": "read"}]
    refused += [{"deposit": "much"}, {"deposit": -1}, {"public_key_pem": "x"}, {"subaccount": 64}]
    for wrong in refused:
        body = {"public_key_pem": pem, "member": "new", **wrong}
        assert probed.client.post("/sandbox/keys", json=body).status_code == 400
    assert len(probed.exchange.log.events) == before
    with pytest.raises(UnusableScopes):
        check_scopes(["write", "write::trade"])
    assert allows(("write::trade",), "write::trade")
    assert not allows(("write::trade",), "write")


def test_a_new_public_key_under_a_known_id_takes_effect_at_once(probed: LocalSandbox) -> None:
    first = _signer(probed)
    assert probed.client.get(API + "/any", auth=first).status_code == 200
    second = _signer(probed)
    assert probed.client.get(API + "/any", auth=second).status_code == 200
    assert probed.client.get(API + "/any", auth=first).status_code == 401


def test_the_same_key_again_changes_nothing(probed: LocalSandbox) -> None:
    signer = _signer(probed)
    before = len(probed.exchange.log.events)
    probed.steer("POST", "/keys", key_id=signer.key_id, public_key_pem=signer.public_pem)
    assert len(probed.exchange.log.events) == before


def test_a_key_of_the_command_line_belongs_to_a_member_with_money_on_every_shard(tmp_path: Path) -> None:
    signer = RequestSigner("mine")
    file = tmp_path / "public.pem"
    file.write_text(signer.public_pem)
    sandbox = local_sandbox(SandboxOptions(markets=20, combos=2, keys={"mine": file}, balance=250))
    with sandbox.client:
        state = sandbox.exchange.venue.state
        assert state.keys["mine"].scopes == ("read", "write")
        assert [state.cash[DEFAULT_MEMBER, 0, shard] for shard in range(4)] == [250_000_000] * 4
        accounts = sandbox.steer("GET", "/members")["members"][DEFAULT_MEMBER]["accounts"]
        assert {account["cash_dollars"] for account in accounts} == {"250.000000"}


def test_a_deposit_for_a_locked_subaccount_keeps_the_usual_primary_money(
    probed: LocalSandbox,
) -> None:
    pem = RequestSigner("locked").public_pem
    probed.steer("POST", "/keys", key_id="locked", public_key_pem=pem, member="new", subaccount=1, deposit=5)
    cash = probed.exchange.venue.state.cash
    assert (cash["new", 0, 0], cash["new", 1, 0]) == (probed.exchange.start_amount, 5_000_000)


def test_a_deposit_reaches_new_and_old_members_and_locked_subaccounts(probed: LocalSandbox) -> None:
    state = probed.exchange.venue.state
    _signer(probed, member="new", deposit="5.25")
    assert state.cash["new", 0, 2] == 5_250_000
    _signer(probed, member="new", deposit=1)
    assert state.cash["new", 0, 2] == 6_250_000
    _signer(probed, member="new", deposit=7, subaccount=2)
    assert (state.cash["new", 2, 1], state.cash["new", 0, 1]) == (7_000_000, 6_250_000)


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxProcess]:
    with running_sandbox(TINY) as sandbox:
        yield sandbox


@pytest.mark.parametrize(("key_type", "label"), [("ed25519", b"BEGIN PRIVATE KEY"), ("rsa", b"BEGIN RSA PRIVATE KEY")])
def test_the_command_makes_a_key_file_that_signs(
    running: SandboxProcess, tmp_path: Path, key_type: str, label: bytes
) -> None:
    file = tmp_path / "my key.pem"
    command = [sys.executable, "-m", "kalshi_pipelines.sandbox.create_key", f"--url={running.admin_url}"]
    command += [f"--type={key_type}", "--scopes=read,write::trade", "--member=ann", "--deposit=12", f"--out={file}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    exports = dict(shlex.split(line)[1].split("=", 1) for line in done.stdout.splitlines())
    assert exports["KALSHI_PRIVATE_KEY_FILE"] == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert label in file.read_bytes()
    key = load_pem_private_key(file.read_bytes(), None)
    signer = RequestSigner(exports["KALSHI_API_KEY_ID"], key)  # type: ignore[arg-type]
    assert httpx.get(f"{running.url}/account/limits", auth=signer).status_code == 200
    truth = httpx.get(f"{running.admin_url}/sandbox/truth").text
    assert exports["KALSHI_API_KEY_ID"] in truth
    assert "PRIVATE KEY" not in truth


def test_a_key_file_is_never_overwritten(
    running: SandboxProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key.pem"
    file.write_text("precious")
    assert main([f"--url={running.admin_url}", f"--out={file}"]) == 1
    assert file.read_text() == "precious"
    assert "never overwritten" in capsys.readouterr().err


def test_a_key_that_cannot_be_registered_leaves_no_file(
    running: SandboxProcess, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key.pem"
    for arguments, reason in (
        (["--url=http://127.0.0.1:9"], "No sandbox answers at http://127.0.0.1:9"),
        ([f"--url={running.admin_url}", "--subaccount=64"], "from 0 to 63"),
        ([f"--url={running.admin_url}", "--deposit=lots"], "deposit must be given as a decimal number"),
        (["--url=http://exchange.example:80"], "confirm it with --host exchange.example"),
    ):
        assert main([*arguments, f"--out={file}"]) == 1
        assert reason in capsys.readouterr().err
        assert not list(tmp_path.iterdir())


def test_wrong_arguments_of_the_command_are_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for argument in (
        "--url=https://127.0.0.1",
        "--url=http://127.0.0.1:x",
        "--url=http://[::1",
        "--scopes=write",
        "--type=dsa",
    ):
        with pytest.raises(SystemExit):
            main([argument, f"--out={tmp_path / 'key.pem'}"])
        assert argument.partition("=")[0] in capsys.readouterr().err

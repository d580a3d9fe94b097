"""A whole day of trading with one key that is locked to its sub-account, as the documents demand."""

import re
from contextlib import ExitStack
from pathlib import Path

import pytest

from kalshi_pipelines.execution.gates.key import key_checks
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.sandbox import create_key
from kalshi_pipelines.sandbox.process import running_sandbox
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    QUIET,
    SandboxMember,
    join_sandbox,
    sandbox_with_member,
)
from kalshi_pipelines_tests.support.execution.trading_environment import create_databases

WHO = ("--by", "ann", "--why", "a try")


def output_of(capsys: pytest.CaptureFixture[str], status: int, *arguments: str) -> str:
    assert main(arguments) == status, capsys.readouterr()
    captured = capsys.readouterr()
    return captured.out + captured.err


def prepare(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    """Set the variables, make the databases and check the vendor with the same key."""
    for name, value in variables.items():
        monkeypatch.setenv(f"KALSHI_{name}", value)
    assert "0 breaking, 0 risky" in create_databases(variables["TRADE_URL"])


@pytest.mark.parametrize("subaccount", [0, 1, 63])
def test_F80_key_locked_to_its_sub_account_trades_a_whole_day(
    subaccount: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    key_file = tmp_path / "trade.pem"
    with running_sandbox(QUIET) as sandbox:
        made = create_key.main(
            [
                *("--url", sandbox.admin_url, "--scopes", "read,write::trade", "--member", "ann"),
                *("--subaccount", str(subaccount), "--deposit", "500", "--out", str(key_file)),
            ]
        )
        key_id = re.search(r"KALSHI_API_KEY_ID=(\S+)", capsys.readouterr().out)
        assert made == 0
        assert key_id
        key = {"API_KEY_ID": key_id[1], "PRIVATE_KEY_FILE": str(key_file)}
        trade_key = {f"TRADE_{name}": value for name, value in key.items()}
        places = {"SANDBOX_URL": sandbox.url, "TRADE_URL": sandbox.url, "DATA_DIR": str(tmp_path / "data")}
        how = {"TRADE_MODE": "live", "TRADE_SERIES": "*", "TRADE_SUBACCOUNT": str(subaccount)}
        prepare(monkeypatch, {**key, **trade_key, **places, **how})

        with ExitStack() as stack:
            market = join_sandbox(sandbox, tmp_path, stack, "bob").tradable()
        order = ("yes", market["ticker"], "1")
        rests = ("--time-in-force", "good_till_canceled", "--rest-minutes", "10")
        output_of(capsys, 0, "propose", "buy", *order, market["yes_ask_dollars"], "--signal", "one")
        output_of(capsys, 0, "propose", "buy", *order, market["yes_bid_dollars"], "--signal", "two", *rests)
        assert "clean" in output_of(capsys, 0, "reconcile")
        output_of(capsys, 0, "release", *WHO)
        key_file.chmod(0o640 | 0o004)
        assert f"chmod 600 {key_file}" in output_of(capsys, 2, "arm", *WHO)
        assert f"chmod 600 {key_file}" in output_of(capsys, 2, "trade", *WHO)
        key_file.chmod(0o600)
        token = re.search(r"KALSHI_TRADE_ARM=(\S+)", output_of(capsys, 0, "arm", *WHO))
        assert token
        monkeypatch.setenv("KALSHI_TRADE_ARM", token[1])
        assert output_of(capsys, 0, "trade", *WHO).count("placed: ") == 2
        assert "open orders      1" in output_of(capsys, 0, "status")
        assert f"clean: sandbox, sub-account {subaccount}" in output_of(capsys, 0, "reconcile")
        key_file.chmod(0o644)
        assert f"chmod 600 {key_file}" in output_of(capsys, 2, "trade", *WHO)
        assert "FLAT" in output_of(capsys, 0, "kill", "--level", "2", *WHO, "--patience", "60")
        assert "clean" in output_of(capsys, 0, "reconcile")
        assert output_of(capsys, 0, "verify-audit").startswith("clean: ")


@pytest.mark.parametrize("subaccount", [0, 1, 63])
def test_F27_lock_is_proved_by_other_reads_if_the_exchange_refuses_the_list_of_keys(
    subaccount: int, tmp_path: Path
) -> None:
    with sandbox_with_member(tmp_path, subaccount=subaccount) as member, ExitStack() as stack:
        unlocked = join_sandbox(member.sandbox, tmp_path, stack)
        refused = {"endpoint": "GET /api_keys", "kind": "status_after_apply", "status": 403, "times": 20}
        member.steer("POST", "/faults", **refused)
        assert verdicts(member, subaccount) == [True]
        assert verdicts(member, 5) == [False]
        assert verdicts(unlocked, subaccount) == [False]
        broken = {"endpoint": "GET /portfolio/subaccounts/balances", "kind": "server_error", "times": 20}
        member.steer("POST", "/faults", **broken)
        assert verdicts(member, subaccount) == [False]


def verdicts(member: SandboxMember, subaccount: int) -> list[bool]:
    return [each.ok for each in key_checks(member.portfolio, member.key_id, subaccount)]

"""Arguments of the command line: defaults are the careful choice, and a reason is always required."""

import argparse
import getpass
import os
from pathlib import Path
from typing import Any

import pytest

from kalshi_pipelines.execution.executor.session import SessionRefused
from kalshi_pipelines.execution.gates.order_checks import Denial
from kalshi_pipelines.execution.journal.errors import JournalUnavailable
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.service.cli import _parser, main
from kalshi_pipelines.execution.service.command_context import CommandContext, CommandRefused
from kalshi_pipelines.execution.service.commands import (
    cancel_command,
    evidence_commands,
    inbox_commands,
    inspection_commands,
    session_commands,
    stop_commands,
)

WHY = {"by": "ann", "why": "a try"}
ORDER = {
    "action": "buy", "outcome": "yes", "ticker": "KXA-1", "count": "10", "price": "0.56", "signal": "s",
    "strategy": "by hand", "again": False, "attempt": None,
    "valid_minutes": 5, "time_in_force": "immediate_or_cancel", "rest_minutes": None,
    "post_only": False, "reduce_only": False, "open_short": False, "reason": "", "kind": "person", "name": "ann",
}  # fmt: skip
TAKEN: list[tuple[str, str, dict[str, Any]]] = [
    ("propose buy yes KXA-1 10 0.56 --signal s", "propose_order", ORDER),
    (
        "propose sell no KXA-1 10 0.56 --signal s --strategy t --valid-minutes 3 --time-in-force good_till_canceled "
        "--rest-minutes 9 --post-only --reduce-only --reason r --as agent --name reader",
        "propose_order",
        ORDER | {
            "action": "sell", "outcome": "no", "strategy": "t", "again": False, "attempt": None, "valid_minutes": 3,
            "time_in_force": "good_till_canceled", "rest_minutes": 9, "post_only": True, "reduce_only": True,
            "reason": "r", "kind": "agent", "name": "reader",
        },
    ),
    (
        "propose sell yes KXA-1 10 0.56 --signal s --open-short",
        "propose_order",
        ORDER | {"action": "sell", "open_short": True},
    ),
    ("import a.csv", "import_file", {"file": Path("a.csv"), "kind": "person", "name": "ann"}),
    ("import a.csv --as strategy --name s", "import_file", {"file": Path("a.csv"), "kind": "strategy", "name": "s"}),
    ("trade --why try", "trade_inbox", {"by": "ann", "why": "try"}),
    ("trade --by bob --why try", "trade_inbox", {"by": "bob", "why": "try"}),
    ("approve 7 0123456789ab", "approve", {"intent": 7, "sha256": "0123456789ab", "by": "ann"}),
    ("approve 7 0123456789ab --by bob", "approve", {"intent": 7, "sha256": "0123456789ab", "by": "bob"}),
    ("arm --why try", "arm", {"minutes": 60, "run": None, "by": "ann", "why": "try"}),
    (
        "arm --minutes 5 --run run.yaml --by bob --why try",
        "arm",
        {"minutes": 5, "run": Path("run.yaml"), "by": "bob", "why": "try"},
    ),
    ("status", "status", {}),
    ("cancel 7 9 --why try", "cancel", {"intents": [7, 9], "all": False, "by": "ann", "why": "try"}),
    ("cancel --all --by bob --why try", "cancel", {"intents": [], "all": True, "by": "bob", "why": "try"}),
    ("drill --why try", "drill", {"patience": 300, "by": "ann", "why": "try"}),
    ("drill --patience 9.5 --by bob --why try", "drill", {"patience": 9.5, "by": "bob", "why": "try"}),
    ("release --why try", "release", {"by": "ann", "why": "try"}),
    ("release --by bob --why try", "release", {"by": "bob", "why": "try"}),
    ("reconcile", "reconcile", {}),
    ("acknowledge", "acknowledge", {"digest": None, "by": "ann", "why": ""}),
    ("adopt", "adopt", {"digest": None, "by": "ann", "why": ""}),
    ("acknowledge --digest 8f --by bob --why try", "acknowledge", {"digest": "8f", "by": "bob", "why": "try"}),
    ("close-session --by bob --why try", "close_session", {"by": "bob", "why": "try"}),
    ("verify-audit", "verify_audit", {}),
]  # fmt: skip

COMMAND_MODULES = (
    cancel_command,
    evidence_commands,
    inbox_commands,
    inspection_commands,
    session_commands,
    stop_commands,
)


@pytest.fixture(autouse=True)
def _operator(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An operator whose login is ann and whose data folder is empty."""
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    monkeypatch.setenv("KALSHI_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def replace_command(monkeypatch: pytest.MonkeyPatch, name: str, does: Any) -> list[dict[str, Any]]:
    """Replace a command; return the list in which the arguments of its calls are collected."""
    given: list[dict[str, Any]] = []

    def command(_: object, arguments: Any) -> int:
        given.append({key: value for key, value in vars(arguments).items() if key != "do"})
        if isinstance(does, BaseException):
            raise does
        return int(does)

    (module,) = (each for each in COMMAND_MODULES if name in vars(each))
    monkeypatch.setattr(module, name, command)
    return given


@pytest.mark.parametrize(("line", "name", "taken"), TAKEN, ids=[each[0][:40] for each in TAKEN])
def test_command_line_of_each_command_is_parsed_into_its_arguments(
    monkeypatch: pytest.MonkeyPatch, line: str, name: str, taken: dict[str, Any]
) -> None:
    given = replace_command(monkeypatch, name, 1)
    assert main(line.split()) == 1
    assert given == [taken]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("", "COMMAND"),
        ("sell", "invalid choice: 'sell'"),
        ("propose buy yes KXA-1 10 0.56", "--signal"),
        ("propose short yes KXA-1 10 0.56 --signal s", "invalid choice: 'short'"),
        ("propose buy maybe KXA-1 10 0.56 --signal s", "invalid choice: 'maybe'"),
        ("propose buy yes KXA-1 10 0.56 --signal s --as nobody", "invalid choice: 'nobody'"),
        *((f"{command} --by ann", "--why") for command in ("trade", "arm", "cancel 7", "drill", "release")),
        ("close-session --by ann", "--why"),
        ("approve seven 0123456789ab", "'seven' is not a whole number from 1 to 9,223,372,036,854,775,807"),
        ("approve 0 0123456789ab", "'0' is not a whole number"),
        (f"approve {2**63} 0123456789ab", f"'{2**63}' is not a whole number"),
        (f"approve {'9' * 5_000} 0123456789ab", f"'{'9' * 40}' is not a whole number"),
        *(
            (
                f"propose buy yes KXA-1 10 0.56 --signal s {option} {number}",
                f"{number!r} is not a whole number from {of}",
            )
            for option, of, numbers in (
                ("--valid-minutes", "1 to 10", ("0", "11", "99999999999")),
                ("--rest-minutes", "1 to 15", ("0", "16", "9999999999")),
            )
            for number in numbers
        ),
        ("cancel 0 --why try", "'0' is not a whole number"),
        ("arm --why try --minutes 1441", "'1441' is not a whole number from 1 to 1,440"),
    ],
)
def test_command_line_with_wrong_arguments_prints_the_problem_and_exits_2(
    capsys: pytest.CaptureFixture[str], line: str, text: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert text in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "status", "text"),
    [
        (
            SessionRefused(Denial(DenialReason.NOT_ARMED, "no token"), ()),
            1,
            "No session was opened and nothing was sent:",
        ),
        (CommandRefused("not now"), 2, "not now\n"),
        (JournalUnavailable("no disk"), 2, "no disk\n"),
        (KeyboardInterrupt(), 130, "Interrupted. Run `status` to see what was done.\n"),
        (FileNotFoundError("no file"), 2, "no file\n"),
    ],
)
def test_failing_command_prints_its_error_and_exits_with_its_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failure: BaseException, status: int, text: str
) -> None:
    replace_command(monkeypatch, "status", failure)
    assert main(["status"]) == status
    said = capsys.readouterr()
    assert said.err.startswith(text)
    assert said.out == ""


@pytest.mark.parametrize(
    "line",
    [
        "propose buy yes KXA-1 10 0.56 --signal s --valid-minutes 10 --rest-minutes 15",
        f"approve {2**63 - 1} 0123456789ab",
    ],
)
def test_command_line_with_the_largest_numbers_is_accepted(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    for name in ("propose_order", "approve"):
        replace_command(monkeypatch, name, 0)
    assert main(line.split()) == 0


def test_unexpected_error_of_a_command_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    replace_command(monkeypatch, "status", ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        main(["status"])


def test_variable_that_is_not_set_is_read_from_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KALSHI_ENVIRONMENT=demo\nKALSHI_TRADE_SUBACCOUNT=3\nKALSHI_TRADE_SERIES\n")
    monkeypatch.setenv("KALSHI_TRADE_SUBACCOUNT", "7")
    monkeypatch.setenv("KALSHI_ENVIRONMENT", "")
    monkeypatch.delenv("KALSHI_ENVIRONMENT")  # this pair of calls makes monkeypatch remove the variable after the test
    places: list[str] = []

    def command(context: CommandContext, _: object) -> int:
        places.append(context.whereabouts())
        return 0

    monkeypatch.setattr(inspection_commands, "status", command)
    assert main(["status"]) == 0
    assert places == [f"demo, sub-account 7, journal {tmp_path / 'demo/journal.db'}"]
    assert "KALSHI_TRADE_SERIES" not in os.environ


def test_unreadable_env_file_stops_other_commands_than_kill(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes(b"KALSHI_ENVIRONMENT=\xff\n")
    replace_command(monkeypatch, "trade_inbox", 0)
    assert main(["trade", "--why", "try"]) == 2
    assert f"The file {tmp_path / '.env'} cannot be read" in capsys.readouterr().err


def test_help_of_each_command_explains_every_argument() -> None:
    (commands,) = [each for each in _parser()._actions if isinstance(each, argparse._SubParsersAction)]
    arguments = [(name, each.dest, each.help) for name, parser in commands.choices.items() for each in parser._actions]
    assert ("propose", "post_only") in [argument[:2] for argument in arguments]
    assert [argument for argument in arguments if not argument[2]] == []

"""Every incident of the table in docs/trading.md: caused in a sandbox, then typed away row by row, up to an order."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.execution.journal.engine import journal_url, open_journal
from kalshi_pipelines.execution.journal.journal import initialise
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.orders.evidence import Holding
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount
from kalshi_pipelines.execution.service.account.other_traders import OtherTraders
from kalshi_pipelines.execution.service.cli import main
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Settings
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.checkout import DOCS
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand, markets, new_member
from kalshi_pipelines_tests.support.execution.sandbox_member import (
    Row,
    SandboxMember,
    join_sandbox,
    price_near,
)
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

PAGE = (DOCS / "trading.md").read_text()
ORDERS = "/portfolio/events/orders"
PLACE = f"POST {ORDERS}"


def table() -> dict[str, tuple[str, list[str]]]:
    """Return, by incident, what a person sees, and the commands of the row."""
    found = re.search(r"<!-- begin incidents -->\n(.*?)<!-- end incidents -->", PAGE, re.DOTALL)
    assert found
    rows = [line.strip("|").split(" | ") for line in found[1].splitlines()[2:]]
    return {
        incident.strip(): (re.findall(r"`([^`]+)`", seen)[0], re.findall(r"`([^`]+)`", typed))
        for incident, seen, typed in rows
    }


TABLE = table()


def row_of(begin: str) -> tuple[str, list[str]]:
    (found,) = (row for incident, row in TABLE.items() if incident.startswith(begin))
    return found


@dataclass
class Shell:
    """A person's shell in a new folder, with the variables of a trader at a sandbox."""

    member: SandboxMember
    folder: Path
    prepared: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    places: list[Row] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)

    def type(self, *arguments: str) -> tuple[int, str]:
        """Run a command of the command line, and return its exit status and its output."""
        self.capsys.readouterr()
        try:
            status = main(arguments)
        except SystemExit as error:
            status = int(error.code or 0)
        captured = self.capsys.readouterr()
        return status, captured.out + captured.err

    def prepare(self) -> None:
        """Create the databases of the folder that the variables name."""
        settings = Settings.from_environment()
        settings.environment_dir.mkdir(parents=True, exist_ok=True)
        for file in self.prepared.glob("*.db"):
            shutil.copy(file, settings.environment_dir)
        journal = open_journal(journal_url(settings))
        initialise(journal, settings.environment)
        journal.dispose()

    def arm(self) -> None:
        armed = self.type("arm", "--by", "ann", "--why", "going on")[1]
        token = re.search(r"KALSHI_TRADE_ARM=(\S+)", armed)
        assert token, armed
        self.monkeypatch.setenv("KALSHI_TRADE_ARM", token[1])

    def propose(self, *more: str, price: str | None = None, market: Row | None = None) -> str:
        """Put an order into the inbox, and return its signal."""
        place = market or self.places[0]
        self.numbers.append(len(self.numbers))
        name = f"order {len(self.numbers)}"
        order = ("propose", "buy", "yes", place["ticker"], "1", price or place["yes_ask_dollars"])
        status, said = self.type(*order, "--signal", name, *more)
        assert status == 0, said
        return name

    def trade(self) -> tuple[int, str]:
        self.arm()
        return self.type("trade", "--by", "ann", "--why", "going on")

    def rest(self) -> str:
        """Let an order of this shell rest below the bid, and return its id."""
        market = self.places[0]
        price = price_near(market["yes_bid_dollars"], "-0.05")
        self.propose("--time-in-force", "good_till_canceled", "--rest-minutes", "10", price=price)
        status, said = self.trade()
        assert status == 0, said
        return str(self.member.orders_on_exchange()[-1]["order_id"])

    def follow(self, begin: str) -> None:
        """Type the commands of a row."""
        _, typed = row_of(begin)
        digest = ""
        for number, line in enumerate(typed, start=1):
            place = self.places[0]
            values = {
                "DIGEST": digest,
                "TICKER": place["ticker"],
                "PRICE": place["yes_ask_dollars"],
                "SIGNAL": f"order {len(self.numbers)}",
            }
            words = [values.get(word, word) for word in shlex.split(line)]
            if words[0] == "rm":
                (self.folder / words[1]).unlink()
            elif words[0] == "unset":
                self.monkeypatch.delenv(words[1])
            elif words[0] == "ntpdate":
                self.member.steer("DELETE", "/faults")
            else:
                status, output = self.type(*words)
                found = re.search(r"--digest ([0-9a-f]{12})", output)
                digest = found[1] if found else digest
                assert status == 0 or (found and number < len(typed)), f"{line}: {output}"

    def go_on(self) -> str:
        """Type the commands below the table, and return the output of the last one."""
        status, said = self.type("reconcile")
        assert status == 0, said
        if "not stopped" not in self.type("status")[1]:
            status, said = self.type("release", "--by", "cid", "--why", "the account is as the journal says")
            assert status == 0, said
        self.propose(market=self.places[1])
        status, said = self.trade()
        assert status == 0, said
        return said


@pytest.fixture(scope="module")
def prepared(sandbox: SandboxProcess, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse in which the exchange's API is checked, and with an empty journal."""
    folder = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KALSHI_SANDBOX_URL", sandbox.url)
        patched.setenv("KALSHI_DATA_DIR", str(folder / "data"))
        settings = Settings.from_environment()
        settings.environment_dir.mkdir(parents=True)
        warehouse, journal = open_engine(settings.resolved_warehouse_url), open_journal(journal_url(settings))
        upgrade_to_head(warehouse)
        upgrade_journal(journal)
        run_contract_checks(settings, warehouse, lambda line: None, sandbox_url=sandbox.url)
        for engine in (warehouse, journal):
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            engine.dispose()
        return settings.environment_dir


@pytest.fixture
def shell(
    sandbox: SandboxProcess,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    """A shell whose journal is released and has had one live session."""
    monkeypatch.chdir(tmp_path)
    with ExitStack() as stack:
        member = new_member(sandbox, tmp_path, stack)
        made = Shell(member, tmp_path, prepared, monkeypatch, capsys)
        for name, value in {
            "SANDBOX_URL": sandbox.url,
            "DATA_DIR": str(tmp_path / "data"),
            "TRADE_MODE": "live",
            "TRADE_API_KEY_ID": member.key_id,
            "TRADE_PRIVATE_KEY_FILE": str(member.key_file),
            "TRADE_URL": sandbox.url,
            "TRADE_SERIES": "*",
        }.items():
            monkeypatch.setenv(f"KALSHI_{name}", value)
        made.prepare()
        made.places = markets(member, 4)
        assert made.type("release", "--by", "ann", "--why", "ready")[0] == 0
        status, said = made.trade()
        assert status == 0, said
        yield made
        member.steer("DELETE", "/faults")


def amended(shell: Shell) -> str:
    market = shell.places[0]
    order_id = shell.rest()
    body = {"ticker": market["ticker"], "side": "bid", "price": market["yes_bid_dollars"], "count": "3.00"}
    assert by_hand(shell.member, "POST", f"{ORDERS}/{order_id}/amend", **body).status_code in (200, 201)
    return shell.type("reconcile")[1]


def canceled(shell: Shell) -> str:
    path = f"{ORDERS}/{shell.rest()}?market_ticker={shell.places[0]['ticker']}"
    assert by_hand(shell.member, "DELETE", path).status_code == 200
    return shell.type("reconcile")[1]


def _order_by_hand(shell: Shell, price: str, **more: str) -> None:
    body = {"ticker": shell.places[2]["ticker"], "side": "bid", "count": "1.00", "price": price}
    body |= {"time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross", **more}
    assert by_hand(shell.member, "POST", ORDERS, **body).status_code == 201


def foreign_order(shell: Shell) -> str:
    _order_by_hand(shell, shell.places[2]["yes_bid_dollars"])
    return shell.type("reconcile")[1]


def foreign_trade(shell: Shell) -> str:
    _order_by_hand(shell, shell.places[2]["yes_ask_dollars"], time_in_force="immediate_or_cancel")
    return shell.type("reconcile")[1]


def drifted(shell: Shell) -> str:
    ticker, held = shell.places[3]["ticker"], ExchangeAccount.holdings

    def more(account: ExchangeAccount) -> dict[str, Holding]:
        return {**held(account), ticker: Holding(ticker, 300, 1_500_000)}

    shell.monkeypatch.setattr(ExchangeAccount, "holdings", more)
    return shell.type("reconcile")[1]


def breached(shell: Shell) -> str:
    market = shell.places[2]
    price = market["yes_ask_dollars"]
    count = f"{Decimal(270) / Decimal(price):.2f}"
    shell.member.steer("POST", f"/markets/{market['ticker']}/orders", side="ask", price=price, count=count)
    # The caps are $200 for an event and $500 for a day.
    _order_by_hand(shell, price, time_in_force="immediate_or_cancel", count=count)
    return shell.type("reconcile")[1] + shell.type("reconcile")[1]


def signal_of_another_journal(shell: Shell) -> str:
    shell.propose("--signal", "the same", market=shell.places[0])
    status, said = shell.trade()
    assert status == 0, said
    shell.monkeypatch.setenv("KALSHI_DATA_DIR", str(shell.folder / "fresh"))
    shell.prepare()
    assert shell.type("release", "--by", "ann", "--why", "ready")[0] == 0
    assert "did not make" in shell.trade()[1]
    shell.follow("the journal is lost")
    shell.propose("--signal", "the same", market=shell.places[0])
    return shell.trade()[1]


def earlier_journal(shell: Shell) -> str:
    """Cause the refusal of an order that is older than the days which a session reads before it opens."""
    shell.monkeypatch.setattr(OtherTraders, "client_order_ids", frozenset())
    return signal_of_another_journal(shell)


def restored(shell: Shell) -> str:
    journal = shell.folder / "data" / "sandbox" / "journal.db"
    backup = subprocess.run(
        [sys.executable, "-c", f"import sqlite3; sqlite3.connect({str(journal)!r}).execute(\"VACUUM INTO 'b.db'\")"],
        check=True,
    )
    assert backup.returncode == 0
    shell.propose()
    status, said = shell.trade()
    assert status == 0, said
    for name in ("journal.db-wal", "journal.db-shm"):
        (journal.parent / name).unlink(missing_ok=True)
    shutil.copy(shell.folder / "b.db", journal)
    return shell.trade()[1]


def lost_journal(shell: Shell) -> str:
    shell.propose()
    status, said = shell.trade()
    assert status == 0, said
    for file in (shell.folder / "data" / "sandbox").glob("journal.db*"):
        file.unlink()
    shell.prepare()
    assert shell.type("release", "--by", "ann", "--why", "ready")[0] == 0
    return shell.trade()[1]


def anchors_lost(shell: Shell) -> str:
    Settings.from_environment().resolved_journal_anchors.unlink()
    return shell.trade()[1]


def html_answer(shell: Shell) -> str:
    shell.propose()
    shell.member.steer("POST", "/faults", endpoint=PLACE, kind="html_error")
    return shell.trade()[1]


def lost_answer(shell: Shell) -> str:
    shell.propose()
    shell.member.steer("POST", "/faults", endpoint=PLACE, kind="refuse", reset=True)
    status, said = shell.trade()
    assert status == 1, said
    return said


def killed(shell: Shell) -> str:
    shell.propose("--as", "agent", "--name", "reader")
    shell.arm()
    command = [sys.executable, "-m", "kalshi_pipelines.execution", "trade", "--by", "ann", "--why", "a try"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as trading:
        assert trading.stdout
        assert any("waits for approval" in line for line in trading.stdout)
        trading.send_signal(signal.SIGKILL)
    return shell.trade()[1]


def kill_file(shell: Shell) -> str:
    assert shell.type("kill", "--by", "bob", "--why", "odd")[0] == 0
    (shell.folder / "data" / "sandbox" / "KILL").touch()
    assert shell.type("reconcile")[0] == 0
    status, said = shell.type("release", "--by", "cid", "--why", "over")
    assert status == 1, said
    return said


def wrong_clock(shell: Shell) -> str:
    shell.member.steer(
        "POST", "/faults", endpoint="GET /exchange/user_data_timestamp", kind="clock_skew", seconds=30, times=99
    )
    return shell.type("reconcile")[1]


def changed_key(shell: Shell) -> str:
    shell.arm()
    other = join_sandbox(shell.member.sandbox, shell.folder, shell.member.stack, member=shell.member.member)
    shell.monkeypatch.setenv("KALSHI_TRADE_API_KEY_ID", other.key_id)
    shell.monkeypatch.setenv("KALSHI_TRADE_PRIVATE_KEY_FILE", str(other.key_file))
    return shell.type("trade", "--by", "ann", "--why", "going on")[1]


def arming_used_up(shell: Shell) -> str:
    shell.monkeypatch.delenv("KALSHI_TRADE_ARM")
    return shell.type("trade", "--by", "ann", "--why", "going on")[1]


def other_environment(shell: Shell) -> str:
    url = f"sqlite:///{shell.folder / 'demo.db'}"
    engine = open_journal(url)
    upgrade_journal(engine)
    initialise(engine, "demo")
    engine.dispose()
    shell.monkeypatch.setenv("KALSHI_JOURNAL_URL", url)
    return shell.type("status")[1]


def denied(shell: Shell) -> str:
    shell.propose(price="0.9900")
    return shell.trade()[1]


INCIDENTS: dict[str, Callable[[Shell], str]] = {
    "an order was amended": amended,
    "an order was canceled": canceled,
    "a foreign order rests": foreign_order,
    "a foreign trade": foreign_trade,
    "the position differs": drifted,
    "recorded facts exceed": breached,
    "a fresh journal was given": signal_of_another_journal,
    "a fresh journal met": earlier_journal,
    "the journal was restored": restored,
    "the journal is lost": lost_journal,
    "the anchors are lost": anchors_lost,
    "an HTML answer": html_answer,
    "a lost answer": lost_answer,
    "the session was killed": killed,
    "a kill switch file": kill_file,
    "the clock is wrong": wrong_clock,
    "the trade key was changed": changed_key,
    "the arming is used up": arming_used_up,
    "the journal is of another": other_environment,
    "a denied order": denied,
}


def test_F76_every_incident_of_the_page_is_caused_by_this_test() -> None:
    assert len(INCIDENTS) == len(TABLE)
    assert all(sum(row.startswith(begin) for row in TABLE) == 1 for begin in INCIDENTS)


@pytest.mark.parametrize("begin", INCIDENTS)
def test_F76_incident_ends_with_a_placed_order_after_the_typed_row(shell: Shell, begin: str) -> None:
    seen, _ = row_of(begin)
    said = INCIDENTS[begin](shell)
    assert seen in said, said
    shell.follow(begin)
    assert "placed: buy 1.00 YES" in shell.go_on()
    status, said = shell.type("verify-audit")
    assert status == 0, said

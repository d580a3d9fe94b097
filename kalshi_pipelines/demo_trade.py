"""``make demo-trade``: a dry run, a live session on a sandbox, a kill and the audit, shown in plain words.

All files are in a new folder, and the API key is made for the demo. The demo ignores the settings of the shell.
"""

import datetime as dt
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa
from pydantic import SecretStr

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.session import Opening, SessionRefused
from kalshi_pipelines.execution.gates.arming import ArmBinding, arm_token
from kalshi_pipelines.execution.inbox.proposals import ProposalTexts, propose, read_proposal
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal, initialise
from kalshi_pipelines.execution.journal.migrations import upgrade_journal
from kalshi_pipelines.execution.journal.records import Mode, Origin
from kalshi_pipelines.execution.orders.proposals import ActorKind, Proposer
from kalshi_pipelines.execution.service.account.audit import verify_or_stop
from kalshi_pipelines.execution.service.account.kill_switch import halt
from kalshi_pipelines.execution.service.account.live_account import live_transport
from kalshi_pipelines.execution.service.sessions.decision_text import format_decision
from kalshi_pipelines.execution.service.sessions.trading_session import TradingContext, TradingRun, trade
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.sandbox import create_key
from kalshi_pipelines.sandbox.process import SandboxDidNotStart, SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines.settings import Environment, Settings
from kalshi_pipelines.units import HOUR_US, now_us
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.upgrade import migrate

_MARKETS: Final = 200
_MEMBER: Final = "demo"


@dataclass(frozen=True)
class _Demo:
    """The sandbox, databases and market that all steps of the demo share."""

    sandbox: SandboxProcess
    settings: Settings
    journal_engine: sa.Engine
    journal: Journal
    warehouse: sa.Engine
    market: dict[str, Any]

    def propose(self, *orders: tuple[str, str, str], rests: bool = False) -> None:
        """Propose orders to buy, each given as (outcome, price, name)."""
        now = dt.datetime.now(dt.UTC)
        until = now + dt.timedelta(minutes=5)
        made = [
            read_proposal(
                ProposalTexts(
                    ticker=self.market["ticker"],
                    action="buy",
                    outcome=outcome,
                    price=price,
                    count="5",
                    strategy="demo",
                    signal=name,
                    as_of=now.isoformat(),
                    valid_until=until.isoformat(),
                    time_in_force="good_till_canceled" if rests else "immediate_or_cancel",
                    expires=until.isoformat() if rests else "",
                ),
                Proposer(ActorKind.STRATEGY, "demo"),
            )
            for outcome, price, name in orders
        ]
        propose(self.journal_engine, made, "make demo-trade")

    def trade(self, settings: TradeSettings) -> TradingRun:
        """Run one trading session."""
        with KalshiClient.from_settings(self.settings, self.warehouse) as client:
            trading = TradingContext(self.settings, settings, self.journal, self.warehouse, client)
            return trade(trading, Opening("the demo", Origin.BY_HAND))


def main() -> int:
    """Run the demo, and return the exit status."""
    for name in [name for name in os.environ if name.startswith("KALSHI_")]:
        del os.environ[name]
    folder = Path(tempfile.mkdtemp(prefix="kalshi-demo-trade-"))
    print(f"Starting a sandbox exchange with {_MARKETS} markets. All files are in {folder}", flush=True)
    try:
        with (
            running_sandbox(SandboxOptions(markets=_MARKETS, combos=0, tick_seconds=0)) as sandbox,
            _set_up(folder, sandbox) as demo,
        ):
            return _acts(demo, folder)
    except SandboxDidNotStart as error:
        print(error, file=sys.stderr)
        return 1


@contextmanager
def _set_up(folder: Path, sandbox: SandboxProcess) -> Iterator[_Demo]:
    settings = Settings(
        environment=Environment.SANDBOX, data_dir=folder, sandbox_url=sandbox.url, sessions_dir=folder / "sessions"
    )
    settings.environment_dir.mkdir(parents=True)
    warehouse = open_engine(settings.resolved_warehouse_url)
    journal_engine = open_journal(f"sqlite:///{settings.environment_dir / 'journal.db'}")
    try:
        migrate(warehouse, settings.environment, lambda line: None)
        upgrade_journal(journal_engine)
        initialise(journal_engine, settings.environment, anchor_file=settings.resolved_journal_anchors)
        journal = Journal(journal_engine, settings.environment, anchor_file=settings.resolved_journal_anchors)
        run_contract_checks(settings, warehouse, lambda line: None, sandbox_url=sandbox.url)
        yield _Demo(sandbox, settings, journal_engine, journal, warehouse, _a_market(sandbox))
    finally:
        journal_engine.dispose()
        warehouse.dispose()


def _acts(demo: _Demo, folder: Path) -> int:
    ask, bid = demo.market["yes_ask_dollars"], demo.market["yes_bid_dollars"]
    print(f"The market is {demo.market['ticker']}: bid {bid}, ask {ask}.")

    _say("1. A new journal is halted until a person releases it. Then four orders are proposed")
    with demo.journal.writing() as transaction:
        print(f"   kill switch: {transaction.reading.halts.kill_state().reason}; released by the operator")
        transaction.halts.release("the operator", "ready to trade")
    demo.propose(("yes", ask, "cheap"), ("no", f"{1 - Decimal(bid)}", "dear"), ("yes", "0.9900", "a typo"))
    demo.propose(("yes", bid, "patient"), rests=True)

    _say("2. A dry run: the same checks, caps and records, but no key and no connection")
    _tell(demo.trade(TradeSettings(mode=Mode.DRY_RUN)))

    _say("3. The same proposals live: armed by a person, with a key that may only read and trade")
    live = _live_settings(demo, folder)
    _tell(demo.trade(live))
    print(f"   the exchange has {_orders_at(demo.sandbox)} orders")

    _say("4. The kill switch at level 2: every order is canceled, and no new order is sent")
    with halt(demo.settings, live, lambda: demo.journal) as halting:
        print(f"   {halting.run('the operator', 'the demo halts', patience_seconds=60)}", flush=True)
    demo.propose(("yes", ask, "after the kill"))
    try:
        _tell(demo.trade(live))
    except SessionRefused as refused:
        print(f"   no session was opened ({refused.reason.code}): {refused.detail}")
    print(f"   the exchange has {_orders_at(demo.sandbox)} orders")

    _say("5. The audit checks the hash chain, its anchor file, and that the journal knows every order of the exchange")
    report = verify_or_stop(demo.settings, live, demo.journal_engine, lambda: demo.warehouse)
    print(f"   {report}")
    return 0 if report.ok else 1


def _say(title: str) -> None:
    print(f"\n{title}", flush=True)


def _tell(run: TradingRun) -> None:
    for decision in run.decisions:
        print(f"   {format_decision(decision)}", flush=True)
    if run.reconciliations:
        last = run.reconciliations[-1]
        print(f"   reconciliation: {'clean' if last.clean else str(last)}", flush=True)


def _a_market(sandbox: SandboxProcess) -> dict[str, Any]:
    """Return a market whose bid and ask are close together and between 0.35 and 0.65 dollars."""
    query = {"status": "open", "mve_filter": "exclude", "limit": "1000"}
    markets: Sequence[dict[str, Any]] = httpx.get(f"{sandbox.url}/markets", params=query, trust_env=False).json()[
        "markets"
    ]
    return next(each for each in markets if "0.3500" < each["yes_bid_dollars"] < each["yes_ask_dollars"] < "0.6500")


def _live_settings(demo: _Demo, folder: Path) -> TradeSettings:
    file = folder / "trade-key.pem"
    key_id = create_key.create_trade_key(demo.sandbox.admin_url, file, member=_MEMBER)
    settings = TradeSettings(mode=Mode.LIVE, api_key_id=key_id, private_key_file=file, url=demo.sandbox.url, series="*")
    with live_transport(demo.settings, settings) as transport:
        bound = ArmBinding(demo.settings.environment, transport.key_fingerprint, settings.limits_sha256)
    return settings.model_copy(update={"arm": SecretStr(arm_token(bound, now_us() + HOUR_US))})


def _orders_at(sandbox: SandboxProcess) -> int:
    page = httpx.get(f"{sandbox.admin_url}/sandbox/truth", params={"after": 0, "limit": 10_000}, trust_env=False).json()
    return sum(event["event"] == "OrderAccepted" and event["member"] == _MEMBER for event in page["events"])


if __name__ == "__main__":
    sys.exit(main())

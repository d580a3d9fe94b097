"""A race of sixteen executors in eight processes: several propose each signal, and a cap permits five orders.

``python -m kalshi_pipelines_tests.tools.trials.race [--cluster FOLDER]`` prints how many orders the exchange accepted,
and how many the journal recorded.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor import session as sessions
from kalshi_pipelines.execution.executor.dispatch import LiveDispatch
from kalshi_pipelines.execution.executor.executor import TradeExecutor
from kalshi_pipelines.execution.executor.session import Opening, TradeSession
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import Origin
from kalshi_pipelines.sandbox.process import running_sandbox
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.support.execution.sandbox_member import record_reconciliation
from kalshi_pipelines_tests.tools.trials.invariants import read_journal
from kalshi_pipelines_tests.tools.trials.life import TrialContext, member_of, order_of
from kalshi_pipelines_tests.tools.trials.plans import OrderWanted, Plan
from kalshi_pipelines_tests.tools.trials.runner import OPTIONS, Runner, Templates, fork, wait_for

PROCESSES: Final = 8
EXECUTORS_A_PROCESS: Final = 2
CAP: Final = 5
#: Number of signals. Each executor proposes three of them, so every signal is proposed by several executors.
SIGNALS: Final = 9
_PATIENCE_SECONDS: Final = 60


def _trade(context: TrialContext, plan: Plan, settings: TradeSettings, session: TradeSession, number: int) -> None:
    with ExitStack() as stack:
        member = member_of(context, stack)
        journal = Journal(open_journal(context.journal_url, _PATIENCE_SECONDS), "sandbox")
        dispatch = LiveDispatch(journal, session, member.transport(settings))
        executor = TradeExecutor(session, journal, settings, member.inputs(lambda: None), dispatch)
        for turn in range(3):
            wanted = plan.orders[(number * 2 + turn * 4) % SIGNALS]
            executor.decide(order_of(plan, wanted, context.markets[wanted.market]))


def _process(context: TrialContext, plan: Plan, settings: TradeSettings, session: TradeSession, number: int) -> None:
    with ThreadPoolExecutor(EXECUTORS_A_PROCESS) as pool:
        numbers = [number * EXECUTORS_A_PROCESS + each for each in range(EXECUTORS_A_PROCESS)]
        list(pool.map(lambda each: _trade(context, plan, settings, session, each), numbers))


def race(runner: Runner, cluster: str | None) -> dict[str, int]:
    """Run the race. Return the numbers of failed processes, accepted orders, recorded sendings and signals."""
    # Each order has its own market: if two orders come at the same time in one market, the executor sends only one.
    orders = tuple(OrderWanted(number, number, "buy", "yes", 1, False, 0) for number in range(SIGNALS))
    plan = Plan(0, "postgres" if cluster else "sqlite", orders, (), CAP, CAP, 200, 1_000)
    with runner.new_trial(plan, "race", SIGNALS) as context:
        with ExitStack() as stack:
            member = member_of(context, stack)
            journal = Journal(open_journal(context.journal_url), "sandbox")
            settings = member.settings(session_orders=CAP)
            transport = member.transport(settings)
            session = sessions.open_live(
                journal, settings, Environment.SANDBOX, Opening("ann", Origin.BY_HAND), transport, ()
            )
            record_reconciliation(journal)
            # The order groups are created before the race, so that no executor creates a second one.
            dispatch = LiveDispatch(journal, session, transport)
            for shard in sorted({market["exchange_index"] for market in context.markets}):
                dispatch.ensure_group(shard)
        children = [fork(partial(_process, context, plan, settings, session, number)) for number in range(PROCESSES)]
        failed = sum(wait_for(child) != 0 for child in children)
        engine = open_journal(context.journal_url)
        rows = read_journal(engine)
        engine.dispose()
        return {
            "failed": failed,
            "taken": len(runner.truth_of(context.member)),
            "recorded": len(rows.sendings),
            "signals": len(rows.states),
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the race and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.trials.race")
    parser.add_argument("--cluster", help="folder of a Postgres server's socket (default: use SQLite)")
    cluster = parser.parse_args(arguments).cluster
    with tempfile.TemporaryDirectory() as name, running_sandbox(OPTIONS) as sandbox, httpx.Client(
        trust_env=False, timeout=30
    ) as http:  # fmt: skip
        folder = Path(name)
        runner = Runner(sandbox, http, Templates(folder, cluster), folder)
        print(json.dumps(race(runner, cluster)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

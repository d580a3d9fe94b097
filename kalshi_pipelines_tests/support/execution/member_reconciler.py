"""A new sandbox member for every test, with a reconciler that waits only briefly."""

from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import httpx

from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.reconciliation.account import AccountReader, ExchangeAccount
from kalshi_pipelines.execution.reconciliation.reconciler import Reconciler
from kalshi_pipelines.execution.reconciliation.resolution import FenceTransport, ReconciliationLimits
from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess
from kalshi_pipelines_tests.support.execution.sandbox_member import SUBACCOUNT, Row, SandboxMember, join_sandbox

#: A sandbox with many markets whose prices never move.
MARKETS = SandboxOptions(markets=250, combos=0, tick_seconds=0, tier="unlimited")
QUICK = ReconciliationLimits(margin_us=1_000, watermark_seconds=5, fence_attempts=2, pause_seconds=0.05, rounds=3)
_members = count(1)


def new_member(sandbox: SandboxProcess, folder: Path, stack: ExitStack) -> SandboxMember:
    """Create a new member of a running sandbox."""
    return join_sandbox(sandbox, folder, stack, member=f"member-{next(_members)}")


def markets(member: SandboxMember, number: int, shard: int | None = None) -> list[Row]:
    """Return markets with a two-sided book, on the given shard or on any shard."""
    rows = member.http.get(
        f"{member.sandbox.url}/markets", params={"status": "open", "mve_filter": "exclude", "limit": 1000}
    ).json()["markets"]
    good = [
        row
        for row in rows
        if row["yes_bid_size_fp"] != "0.00"
        and row["yes_ask_size_fp"] != "0.00"
        and "0.15" < row["yes_bid_dollars"] < row["yes_ask_dollars"] < "0.85"
        and shard in (None, row["exchange_index"])
    ]
    assert len(good) >= number, f"the sandbox has {len(good)} such markets"
    return good[:number]


def reconciler(
    member: SandboxMember,
    journal: Journal,
    *,
    limits: ReconciliationLimits = QUICK,
    account: Callable[[AccountReader], AccountReader] = lambda account: account,
    transport: FenceTransport | None = None,
    **more: Any,
) -> Reconciler:
    """Return a reconciler of the member's account."""
    transport = transport or member.transport(member.settings())
    read = account(ExchangeAccount(member.client, SUBACCOUNT))
    return Reconciler(journal, read, transport, Account("sandbox", SUBACCOUNT), limits=limits, **more)


def by_hand(member: SandboxMember, method: str, path: str, **body: Any) -> httpx.Response:
    """Send a request of the member outside the product, as a person does on the exchange's web site."""
    url = httpx.URL(member.sandbox.url + path)
    headers = member.signer.headers(method, url.path)
    return member.http.request(method, url, json=body or None, headers=headers)

"""Recomputation of the journal's counters and lists from its rows alone, without trusting any trigger."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa

from kalshi_pipelines.execution.audit.admissions import find_forbidden_admissions
from kalshi_pipelines.execution.audit.own_scopes import find_wrong_hours, find_wrong_scope
from kalshi_pipelines.execution.audit.realised import RealisedReplay
from kalshi_pipelines.execution.audit.reservations import NOTHING_COUNTED, CountedMarket, find_wrong_amounts
from kalshi_pipelines.execution.audit.sendings import find_forbidden_sends, find_misused_armings
from kalshi_pipelines.execution.journal.guards import HOURS_AHEAD
from kalshi_pipelines.execution.journal.tables import (
    acknowledged_items,
    fills,
    foreign_orders,
    foreign_sightings,
    intents,
    open_intents,
    order_events,
    postings,
    scope_markets,
    scopes,
    session_caps,
    sessions,
)
from kalshi_pipelines.execution.orders.states import LEGAL_TRANSITIONS, OPEN_STATES, OrderState

_HOURS = 24
_AT_ONCE = 10_000
_NUMBERS = (
    "if_no_microdollars",
    "if_yes_microdollars",
    "spent_microdollars",
    "position_centicontracts",
    "open_bids_centicontracts",
    "open_asks_centicontracts",
)
#: The terms of an order that its reservation is checked with.
_OF_INTENTS = (
    "event_ticker",
    "environment",
    "subaccount",
    "mode",
    "side",
    "price_centicents",
    "count_centicontracts",
    "closing_centicontracts",
    "fee_bound_microdollars",
    "notional_microdollars",
)
#: The kinds of scope in the ledger. The reservation of an admitted order is posted to one scope of each kind.
_KINDS = {"session", "day", "rolling", "event", "account"}


def replay_states(connection: sa.Connection) -> Iterator[str]:
    """Yield the problems of order events: gaps in the sequence, forbidden transitions, a wrong list of open intents."""
    last: dict[int, tuple[int, str]] = {}
    records: dict[int, int] = {}
    names = ("intent_id", "seq", "from_state", "to_state", "audit_seq")
    found = connection.execute(
        sa.select(*[order_events.c[name] for name in names])
        .order_by(order_events.c.intent_id, order_events.c.seq)
        .execution_options(yield_per=_AT_ONCE)
    )
    for intent_id, seq, before, after, record in found:
        have = last.get(intent_id)
        if have is None:
            legal = seq == 1 and after == OrderState.PLANNED and before is None
        else:
            legal = (seq, before) == (have[0] + 1, have[1]) and _is_legal(before, after)
        if not legal:
            yield f"intent {intent_id}: event {seq} goes from {before} to {after}, which is not allowed after {have}"
        last[intent_id] = (seq, after)
        if record <= records.get(intent_id, intent_id - 1):
            yield f"intent {intent_id}: event {seq} is of record {record}, which is before that of the event before it"
        records[intent_id] = record
    wanted = {intent_id: state for intent_id, (_, state) in last.items() if state in set(OPEN_STATES)}
    there = {row[0]: row[1] for row in connection.execute(sa.select(open_intents.c.intent_id, open_intents.c.state))}
    yield from (
        f"the list of open intents names another market or account for intent {intent_id}"
        for (intent_id,) in connection.execute(_MISLAID)
    )
    if wanted != there:
        different = sorted(wanted.items() ^ there.items())[:5]
        yield f"the list of open intents differs from the order events: {different}"
    without = connection.execute(
        sa.select(intents.c.intent_id).where(~sa.exists().where(order_events.c.intent_id == intents.c.intent_id))
    )
    yield from (f"intent {intent_id} has no event" for (intent_id,) in without)
    yield from find_forbidden_admissions(connection)
    yield from find_forbidden_sends(connection)
    yield from find_misused_armings(connection)


def _is_legal(before: str, after: str) -> bool:
    return OrderState(after) in LEGAL_TRANSITIONS.get(OrderState(before), ())


@dataclass
class _Market:
    numbers: list[int] = field(default_factory=lambda: [0] * len(_NUMBERS))

    @property
    def worst(self) -> int:
        return max(0, self.numbers[0], self.numbers[1])


@dataclass
class _Scope:
    row: sa.RowMapping
    orders: int = 0
    notional: int = 0
    worst: int = 0
    markets: defaultdict[str, _Market] = field(default_factory=lambda: defaultdict(_Market))


@dataclass
class _Books:
    """The ledger's counters as the verification recomputes them, posting by posting."""

    scopes: dict[int, _Scope]
    caps: dict[tuple[str, str], sa.RowMapping]
    positions: dict[str, int]
    realised: RealisedReplay = field(default_factory=RealisedReplay)
    live_accounts: dict[tuple[str, int], _Scope] = field(init=False)
    """The scopes of live accounts, by environment and sub-account."""
    _reserved: str = ""
    _in_account: CountedMarket = NOTHING_COUNTED

    def __post_init__(self) -> None:
        self.live_accounts = {
            (scope.row["environment"], scope.row["subaccount"]): scope
            for scope in self.scopes.values()
            if (scope.row["kind"], scope.row["mode"]) == ("account", "live")
        }

    def post(self, row: sa.RowMapping) -> Iterator[str]:
        """Add a posting to the recomputed counters. If the posting is a reservation, yield the caps that it exceeds."""
        scope = self.scopes[row["scope_id"]]
        market = scope.markets[row["ticker"]]
        if row["kind"] == "reserve":
            in_account = self._account_market(row)
            yield from find_wrong_amounts(
                row, scope.row["kind"], CountedMarket.from_numbers(market.numbers), in_account
            )
        if row["kind"] == "realise":
            yield from self.realised.post(row, scope.row["kind"], market.numbers)
        before = market.worst
        for number, name in enumerate(_NUMBERS):
            market.numbers[number] += row[f"d_{name}"]
        scope.orders += row["d_orders"]
        scope.notional += row["d_notional_microdollars"]
        scope.worst += market.worst - before
        if row["kind"] == "reserve" and row["d_orders"]:
            yield from self._beyond(row, scope, market)

    def _account_market(self, row: sa.RowMapping) -> CountedMarket:
        """Return the counts of the live account's market before an order was reserved."""
        if self._reserved != row["dedupe"]:
            self._reserved = row["dedupe"]
            account = self.live_accounts.get((row["environment"], row["subaccount"]))
            market = None if account is None else account.markets.get(row["ticker"])
            self._in_account = NOTHING_COUNTED if market is None else CountedMarket.from_numbers(market.numbers)
        return self._in_account

    def _beyond(self, row: sa.RowMapping, scope: _Scope, market: _Market) -> Iterator[str]:
        kind = scope.row["kind"]
        caps = self.caps.get((row["session_id"], kind))
        if caps is None:
            yield f"{row['dedupe']}: session {row['session_id']} has no caps of kind {kind}"
            return
        orders, notional, worst = scope.orders, scope.notional, scope.worst
        if kind == "rolling":
            beside = [other for other in self.scopes.values() if _is_beside(other.row, scope.row)]
            orders += sum(other.orders for other in beside)
            notional += sum(other.notional for other in beside)
            worst += sum(other.worst for other in beside)
        for name, value, cap in (
            ("orders", orders, caps["orders_cap"]),
            ("notional", notional, caps["notional_cap_microdollars"]),
            ("worst loss", worst, caps["worst_cap_microdollars"]),
        ):
            if value > cap:
                yield f"{row['dedupe']}: {kind} {scope.row['key']} had {name} {value}, above its cap {cap}"
        if kind == "account":
            position, bids, asks = market.numbers[3:]
            long_or_short = position + bids if row["d_open_bids_centicontracts"] else asks - position
            if long_or_short > self.positions[row["session_id"]]:
                yield f"{row['dedupe']}: position of {row['ticker']} could become {long_or_short}, above its cap"


def _is_beside(other: sa.RowMapping, scope: sa.RowMapping) -> bool:
    if any(other[name] != scope[name] for name in ("kind", "environment", "subaccount", "mode")):
        return False
    hours: int = other["hour"] - scope["hour"]
    return hours != 0 and -_HOURS <= hours <= HOURS_AHEAD


def replay_ledger(connection: sa.Connection) -> Iterator[str]:
    """Return the problems of the ledger: reservations that exceeded a cap, wrong counters and missing reservations."""
    books = _Books(
        {row["scope_id"]: _Scope(row) for row in connection.execute(sa.select(scopes)).mappings()},
        {(row["session_id"], row["kind"]): row for row in connection.execute(sa.select(session_caps)).mappings()},
        {
            row[0]: row[1]
            for row in connection.execute(sa.select(sessions.c.session_id, sessions.c.position_cap_centicontracts))
        },
    )
    yield from find_wrong_hours([scope.row for scope in books.scopes.values()])
    reserved: defaultdict[int, set[str]] = defaultdict(set)
    ordered = (
        sa.select(
            postings,
            *[intents.c[name] for name in _OF_INTENTS],
            *[intents.c[name].label(f"of_order_{name}") for name in ("session_id", "ticker")],
        )
        .outerjoin(intents, intents.c.intent_id == postings.c.intent_id)
        .order_by(postings.c.audit_seq, postings.c.dedupe, postings.c.scope_id)
    )
    for row in connection.execute(ordered.execution_options(yield_per=_AT_ONCE)).mappings():
        if row["scope_id"] not in books.scopes:
            yield f"{row['dedupe']} is posted to scope {row['scope_id']}, which does not exist"
            continue
        yield from books.post(row)
        if row["kind"] == "reserve":
            scope = books.scopes[row["scope_id"]].row
            reserved[row["intent_id"]].add(scope["kind"])
            yield from find_wrong_scope(row, scope)
    yield from books.realised.end()
    yield from _counters(connection, books)
    admitted = sa.select(order_events.c.intent_id).where(order_events.c.to_state == OrderState.RESERVED.value)
    for (intent_id,) in connection.execute(admitted):
        if reserved[intent_id] != _KINDS:
            yield f"intent {intent_id} is reserved in {sorted(reserved[intent_id])} only"
    yield from _open_counts(connection, books)


def _counters(connection: sa.Connection, books: _Books) -> Iterator[str]:
    for scope in books.scopes.values():
        row = scope.row
        have = (row["orders"], row["notional_microdollars"], row["worst_microdollars"])
        want = (scope.orders, scope.notional, scope.worst)
        if have != want:
            yield f"scope {row['kind']} {row['key']} counts {have}, but its postings add up to {want}"
        if row["worst_microdollars"] > row["worst_cap_microdollars"] and not row["breached"]:
            yield f"scope {row['kind']} {row['key']} is above its cap but not marked as breached"
    columns = [scope_markets.c[name] for name in _NUMBERS]
    for scope_id, ticker, *numbers in connection.execute(
        sa.select(scope_markets.c.scope_id, scope_markets.c.ticker, *columns)
    ):
        wanted = books.scopes[scope_id].markets.pop(ticker, _Market()) if scope_id in books.scopes else _Market()
        if list(numbers) != wanted.numbers:
            yield f"scope {scope_id} counts {list(numbers)} in {ticker}, but its postings add up to {wanted.numbers}"
        if scope_id in books.scopes:
            books.scopes[scope_id].markets[ticker] = wanted
    there = {
        (row[0], row[1]) for row in connection.execute(sa.select(scope_markets.c.scope_id, scope_markets.c.ticker))
    }
    for scope_id, scope in books.scopes.items():
        for ticker in scope.markets:
            if (scope_id, ticker) not in there:
                yield f"scope {scope_id} has postings of {ticker} but no counters for it"


def _open_counts(connection: sa.Connection, books: _Books) -> Iterator[str]:
    """Yield a problem for each market where the account's count of open contracts differs from the account's orders.

    The count includes the unfilled contracts of each open order. For a finished order, it includes the contracts that
    the exchange reported as filled but whose fills are not recorded yet. An order that persons took over is not counted
    as the journal's own.
    """
    taken_over = set(connection.scalars(sa.select(acknowledged_items.c.intent_id)))
    wanted: defaultdict[tuple[str, int, str, str], int] = defaultdict(int)
    for row in connection.execute(_HELD).mappings():
        held = row["count_centicontracts"] if row["to_state"] in set(OPEN_STATES) else row["reported"] or 0
        held = 0 if row["intent_id"] in taken_over else max(0, held - (row["filled"] or 0))
        wanted[row["environment"], row["subaccount"], row["ticker"], row["side"]] += held
    gone = sa.select(postings.c.dedupe).where(postings.c.dedupe.like("foreign_gone:%"))
    left = {row[0].removeprefix("foreign_gone:"): 0 for row in connection.execute(gone)}
    # The newest sighting of a foreign order counts.
    sightings = sa.select(foreign_sightings.c.order_id, foreign_sightings.c.remaining_centicontracts)
    left |= {row[0]: row[1] for row in connection.execute(sightings.order_by(foreign_sightings.c.sighting_id))}
    for row in connection.execute(_FOREIGN).mappings():
        key = (row["environment"], row["subaccount"], row["ticker"], row["side"])
        wanted[key] += left.get(row["order_id"], row["remaining_centicontracts"])
    for scope in books.scopes.values():
        if (scope.row["kind"], scope.row["mode"]) != ("account", "live"):
            continue
        for ticker, market in scope.markets.items():
            for side, have in (("bid", market.numbers[4]), ("ask", market.numbers[5])):
                want = wanted[scope.row["environment"], scope.row["subaccount"], ticker, side]
                if have != want:
                    yield f"the account counts {have} open {side}s of {ticker}, but its orders add up to {want}"


_MISLAID = sa.select(open_intents.c.intent_id).join(
    intents,
    sa.and_(
        intents.c.intent_id == open_intents.c.intent_id,
        sa.or_(*[open_intents.c[name] != intents.c[name] for name in ("environment", "subaccount", "mode", "ticker")]),
    ),
)
_LAST = (
    sa.select(order_events.c.intent_id, sa.func.max(order_events.c.seq).label("seq"))
    .group_by(order_events.c.intent_id)
    .subquery("last_seq")
)
_FILLS = (
    sa.select(fills.c.intent_id, sa.cast(sa.func.sum(fills.c.count_centicontracts), sa.BigInteger).label("filled"))
    .group_by(fills.c.intent_id)
    .subquery("filled")
)
_HELD = (
    sa.select(
        intents.c.intent_id,
        intents.c.environment,
        intents.c.subaccount,
        intents.c.ticker,
        intents.c.side,
        intents.c.count_centicontracts,
        order_events.c.to_state,
        order_events.c.filled_centicontracts.label("reported"),
        _FILLS.c.filled,
    )
    .join(_LAST, _LAST.c.intent_id == intents.c.intent_id)
    .join(
        order_events,
        sa.and_(order_events.c.intent_id == _LAST.c.intent_id, order_events.c.seq == _LAST.c.seq),
    )
    .outerjoin(_FILLS, _FILLS.c.intent_id == intents.c.intent_id)
    .where(intents.c.mode == "live")
    .select_from(intents)
)
_FOREIGN = (
    sa.select(foreign_orders, scopes.c.environment, scopes.c.subaccount)
    .distinct()
    .join(postings, postings.c.dedupe == sa.literal("foreign:") + foreign_orders.c.order_id)
    .join(scopes, scopes.c.scope_id == postings.c.scope_id)
    .select_from(foreign_orders)
)

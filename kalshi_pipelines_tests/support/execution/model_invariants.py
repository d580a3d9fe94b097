"""Invariants of journal and exchange together. ``test_state_machine`` lists them by number."""

from collections import Counter

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Intent, MarketStanding, Mode, ScopeKind, SessionCaps
from kalshi_pipelines.execution.journal.tables import postings, scope_markets, scopes
from kalshi_pipelines.execution.orders.states import FINAL_STATES, OrderState
from kalshi_pipelines.units import trading_day
from kalshi_pipelines_tests.support.execution.model_exchange import ModelExchange
from kalshi_pipelines_tests.support.execution.order_steps import ACCOUNT

DOLLARS = 1_000_000


def each_was_recorded_once(reading: JournalReading, exchange: ModelExchange) -> None:
    """Check that each intent has at most one order and one request, and that each request is recorded as sent."""
    clients = [order.client_order_id for order in exchange.orders.values()]
    assert len(clients) == len(set(clients))
    assert set(clients) <= exchange.posts.keys()
    assert all(number == 1 for number in exchange.posts.values())
    for client in exchange.posts:
        assert reading.orders.sent(_intent(reading, client).intent_id).client_order_id == client


def what_rests_is_reserved(reading: JournalReading, exchange: ModelExchange) -> None:
    for order in exchange.resting():
        held = _intent(reading, order.client_order_id).reserved_centicontracts
        assert held >= order.remaining_centicontracts, f"{order} rests, and {held} are reserved"


def ended_stays_ended(
    reading: JournalReading, exchange: ModelExchange, ended: dict[str, OrderState]
) -> dict[str, OrderState]:
    """Check that ended orders have kept their state; return all ended orders by client order id."""
    now = {client: _intent(reading, client).state for client in exchange.posts}
    assert {client: now[client] for client in ended} == ended
    return {client: state for client, state in now.items() if state in FINAL_STATES}


def caps_hold(reading: JournalReading, exchange: ModelExchange, caps: SessionCaps) -> None:
    """Check the caps of account, event, sessions and days against the orders on the exchange.

    Orders that only close a position are no orders for the caps. They may add their fees to a worst loss.
    """
    intents = {key: _intent(reading, order.client_order_id) for key, order in exchange.orders.items()}
    fees = sum(intent.fee_bound_microdollars for intent in intents.values() if intent.only_closes)
    for kind in (ScopeKind.EVENT, ScopeKind.ACCOUNT):
        _within(kind, exchange.worst(), caps.scopes[kind].worst_microdollars + fees)
    opening = {key: intent for key, intent in intents.items() if not intent.only_closes}
    for orders in Counter(intent.session_id for intent in opening.values()).values():
        _within(ScopeKind.SESSION, orders, caps.scopes[ScopeKind.SESSION].orders)
    elsewhere: dict[str, dict[str, int]] = {}
    for key, intent in intents.items():
        counted = _counted_in_session(reading, intent)
        assert intent.count_centicontracts - intent.closing_centicontracts <= counted <= intent.count_centicontracts
        elsewhere.setdefault(intent.session_id, {})[key] = intent.count_centicontracts - counted
    for orders_of_session in elsewhere.values():
        worst = exchange.worst_of(orders_of_session)
        _within(ScopeKind.SESSION, worst, caps.scopes[ScopeKind.SESSION].worst_microdollars + fees)
    for orders in Counter(trading_day(intent.planned_us) for intent in opening.values()).values():
        _within(ScopeKind.DAY, orders, caps.scopes[ScopeKind.DAY].orders)


def _counted_in_session(reading: JournalReading, intent: Intent) -> int:
    """Return how many centi-contracts of an order the scope of its session counts."""
    counted: int = reading.ledger._connection.execute(
        sa.select(postings.c.d_open_bids_centicontracts + postings.c.d_open_asks_centicontracts)
        .join(scopes, scopes.c.scope_id == postings.c.scope_id)
        .where(postings.c.dedupe == f"reserve:{intent.intent_id}", scopes.c.kind == ScopeKind.SESSION.value)
    ).scalar_one()
    return counted


def _within(kind: ScopeKind, have: int, cap: int) -> None:
    assert have <= cap, f"{have} is beyond a cap of the {kind.value}: {cap}"


def ledger_is_the_truth(reading: JournalReading, exchange: ModelExchange) -> None:
    """Check a reconciled ledger: positions and costs equal the fills, and reserved counts equal the resting orders.

    The account's spent amount is the cost of its fills without the payouts, whether it was realised already or not.
    """
    counted = {market.ticker: market for market in reading.ledger.markets(ACCOUNT)}
    resting, realised = exchange.resting(), _realised(reading)
    for ticker in exchange.tickers():
        have = counted.get(ticker) or MarketStanding(ticker, 0, 0, 0, 0, 0, 0)
        position, spent = exchange.held(ticker)
        payoff = exchange.payoffs().get(ticker)
        expected = (position, spent) if payoff is None else (0, spent - position * payoff)
        assert (have.position_centicontracts, have.spent_microdollars + realised[ticker]) == expected
        assert have.is_outstanding or have.spent_microdollars == 0, "the result of a flat market is realised"
        rests = sum(order.remaining_centicontracts for order in resting if order.ticker == ticker)
        assert have.open_bids_centicontracts + have.open_asks_centicontracts == rests


def _realised(reading: JournalReading) -> Counter[str]:
    """Return the micro-dollars that the account's scope has moved from each market into the results of days."""
    found = (
        sa.select(postings.c.ticker, postings.c.d_spent_microdollars)
        .join(scopes, scopes.c.scope_id == postings.c.scope_id)
        .where(postings.c.kind == "realise", scopes.c.kind == ScopeKind.ACCOUNT.value)
    )
    moved: Counter[str] = Counter()
    for ticker, spent in reading.ledger._connection.execute(found):
        moved[ticker] -= spent
    return moved


def what_ended_is_what_was_won(engine: sa.Engine, exchange: ModelExchange) -> None:
    """Check that no scope that still counts has a position or a loss in a settled market of its own."""
    newest = max((row["key"] for row in _scope_rows(engine, ScopeKind.DAY)), default="")
    for ticker in exchange.payoffs():
        rows = _scope_rows(engine, ScopeKind.ACCOUNT, ticker) + _scope_rows(engine, ScopeKind.EVENT, ticker)
        rows += [row for row in _scope_rows(engine, ScopeKind.DAY, ticker) if row["key"] == newest]
        for row in rows:
            assert row["position_centicontracts"] == 0
            assert (row["if_no_microdollars"], row["if_yes_microdollars"]) == (0, 0)


def the_day_has_all_that_is_outstanding(reading: JournalReading, now_us: int) -> None:
    """Check that the day's worst loss includes everything that the account can still lose."""
    (day,) = reading.ledger.standings(ACCOUNT, Mode.LIVE, {ScopeKind.DAY: trading_day(now_us).isoformat()})
    held = [market for market in reading.ledger.markets(ACCOUNT) if market.is_outstanding]
    assert day.worst_microdollars >= sum(worst_of(market) for market in held)


def worst_of(market: MarketStanding) -> int:
    return max(0, market.if_no_microdollars, market.if_yes_microdollars)


def counters(engine: sa.Engine, mode: Mode | None = None) -> list[object]:
    """Return every counter of every scope, of one mode or of both modes."""
    found = sa.select(scopes, scope_markets).outerjoin(scope_markets, scope_markets.c.scope_id == scopes.c.scope_id)
    if mode is not None:
        found = found.where(scopes.c.mode == mode.value)
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(found.order_by(scopes.c.scope_id, scope_markets.c.ticker))]


def _scope_rows(engine: sa.Engine, kind: ScopeKind, ticker: str | None = None) -> list[sa.RowMapping]:
    found = sa.select(scopes.c.key, scope_markets).join(scope_markets, scope_markets.c.scope_id == scopes.c.scope_id)
    found = found.where(scopes.c.kind == kind.value, scopes.c.mode == Mode.LIVE.value)
    if ticker is not None:
        found = found.where(scope_markets.c.ticker == ticker)
    with engine.connect() as connection:
        return list(connection.execute(found).mappings())


def _intent(reading: JournalReading, client_order_id: str) -> Intent:
    found = reading.orders.intent_of_client_order_id(Mode.LIVE, client_order_id)
    assert found is not None
    return found

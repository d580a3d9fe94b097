"""The figures for admitting an order: the counters of its scopes, the rolling window and the recent attempts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.caps import AdmissionFigures, Scope, Window
from kalshi_pipelines.execution.journal.driver_query import DriverQuery
from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY, HOURS_AHEAD
from kalshi_pipelines.execution.journal.reading.orders import ATTEMPTS
from kalshi_pipelines.execution.journal.records import Intent, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import intents, order_events, scope_markets, scopes
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import HOUR_US, MINUTE_US, trading_day

#: The length of the rolling window for rolling caps, in hours.
WINDOW_HOURS: Final = 24

_NUMBERS: Final = (
    "if_no_microdollars",
    "if_yes_microdollars",
    "spent_microdollars",
    "position_centicontracts",
    "open_bids_centicontracts",
    "open_asks_centicontracts",
)
_OF_ACCOUNT: Final = (
    scopes.c.environment == sa.bindparam("environment"),
    scopes.c.subaccount == sa.bindparam("subaccount"),
    scopes.c.mode == sa.bindparam("mode"),
)
_WINDOW: Final = (
    sa.select(
        *[
            sa.cast(sa.func.coalesce(sa.func.sum(column), 0), sa.BigInteger).label(f"window_{column.name}")
            for column in (scopes.c.orders, scopes.c.notional_microdollars, scopes.c.worst_microdollars)
        ]
    )
    .where(
        *_OF_ACCOUNT,
        scopes.c.hour.between(sa.bindparam("first_hour"), sa.bindparam("last_hour")),
        scopes.c.hour != sa.bindparam("hour"),
    )
    .subquery("hours_before")
)
_NEWEST_DAY: Final = (
    sa.select(sa.func.max(scopes.c.key)).where(*_OF_ACCOUNT, scopes.c.kind == ScopeKind.DAY.value).scalar_subquery()
)
#: The query for all figures of an admission. All other writers wait until the admission ends. A single query is faster
#: than several, so it shortens the wait.
_STANDING: Final = DriverQuery(
    sa.select(
        _WINDOW,
        _NEWEST_DAY.label("newest_day"),
        ATTEMPTS.scalar_subquery().label("attempts"),
        scopes.c.scope_id,
        scopes.c.kind,
        scopes.c.key,
        scopes.c.orders,
        scopes.c.notional_microdollars,
        scopes.c.worst_microdollars,
        scopes.c.breached,
        *[scope_markets.c[name] for name in _NUMBERS],
    ).select_from(
        _WINDOW.outerjoin(
            scopes,
            sa.or_(
                *[
                    sa.and_(*_OF_ACCOUNT, scopes.c.kind == kind.value, scopes.c.key == sa.bindparam(kind.value))
                    for kind in ScopeKind
                ]
            ),
        ).outerjoin(
            scope_markets,
            sa.and_(scope_markets.c.scope_id == scopes.c.scope_id, scope_markets.c.ticker == sa.bindparam("ticker")),
        )
    )
)


#: The live account's ledger of a market, for a dry run, whose own ledger has no position.
_HELD: Final = (
    sa.select(scope_markets)
    .join(scopes, scopes.c.scope_id == scope_markets.c.scope_id)
    .where(
        scopes.c.environment == sa.bindparam("environment"),
        scopes.c.subaccount == sa.bindparam("subaccount"),
        scopes.c.mode == Mode.LIVE.value,
        scopes.c.kind == ScopeKind.ACCOUNT.value,
        scopes.c.key == ACCOUNT_KEY,
        scope_markets.c.ticker == sa.bindparam("ticker"),
    )
)
#: The centi-contracts of each side that a session has simulated orders for.
_SIMULATED: Final = (
    sa.select(intents.c.side, sa.cast(sa.func.sum(intents.c.count_centicontracts), sa.BigInteger))
    .join(order_events, order_events.c.intent_id == intents.c.intent_id)
    .where(
        intents.c.session_id == sa.bindparam("session_id"),
        intents.c.ticker == sa.bindparam("ticker"),
        order_events.c.to_state == OrderState.SIMULATED.value,
    )
    .group_by(intents.c.side)
)


@dataclass(frozen=True, slots=True)
class OrderPlace:
    """The account, mode, session, event and market of an order. They determine the scopes that count the order."""

    account: Account
    mode: Mode
    session_id: str
    event_ticker: str
    ticker: str


def place_of(intent: Intent) -> OrderPlace:
    """Return the place of a stored order."""
    return OrderPlace(intent.account, intent.mode, intent.session_id, intent.event_ticker, intent.ticker)


class AdmissionFigureReader:
    """Reads the figures that an order is compared with.

    They are read once per place of orders, and again if the ledger changes.
    """

    def __init__(self, connection: sa.Connection, now_us: int) -> None:
        self._connection, self._now_us = connection, now_us
        self._known: dict[OrderPlace, AdmissionFigures] = {}

    def of(self, place: OrderPlace) -> AdmissionFigures:
        """Return the figures that an order is compared with before its worst case is reserved."""
        known = self._known.get(place)
        if known is None:
            today = trading_day(self._now_us).isoformat()
            known = self._read(place, today)
            # If the clock went back, orders still count on the newest day, because open orders were carried over to
            # that day. An older day does not count all of them.
            if known.newest_day > today:
                known = self._read(place, known.newest_day)
            self._known[place] = known
        return known

    def count_attempt(self, account: Account, mode: Mode) -> None:
        """Count an attempt that this transaction stores, in the figures that were read before."""
        for place, known in self._known.items():
            if (place.account, place.mode) == (account, mode):
                self._known[place] = replace(known, attempts=known.attempts + 1)

    def forget(self) -> None:
        """Forget all figures that were read. This is called before the ledger changes."""
        self._known.clear()

    def _read(self, place: OrderPlace, day: str) -> AdmissionFigures:
        keys = self._keys(place, day)
        hour = self._now_us // HOUR_US
        rows = _STANDING.fetch_all(
            self._connection,
            {
                "environment": place.account.environment,
                "subaccount": place.account.subaccount,
                "mode": place.mode.value,
                "ticker": place.ticker,
                "since": self._now_us - MINUTE_US,
                "hour": hour,
                "first_hour": hour - WINDOW_HOURS,
                "last_hour": hour + HOURS_AHEAD,
                **{kind.value: key for kind, key in keys.items()},
            },
        )
        there = {ScopeKind(row["kind"]): _scope(row) for row in rows if row["kind"] is not None}
        first = rows[0]
        found = {kind: there.get(kind) or Scope(kind, key) for kind, key in keys.items()}
        return AdmissionFigures(
            found,
            found[ScopeKind.ACCOUNT] if place.mode is Mode.LIVE else self._held_for_dry_run(place),
            Window(first["window_orders"], first["window_notional_microdollars"], first["window_worst_microdollars"]),
            first["attempts"],
            first["newest_day"] or "",
        )

    def _held_for_dry_run(self, place: OrderPlace) -> Scope:
        """Return the live account's ledger of a market, in which the session's simulated orders count as open."""
        values = {
            "environment": place.account.environment,
            "subaccount": place.account.subaccount,
            "session_id": place.session_id,
            "ticker": place.ticker,
        }
        row = self._connection.execute(_HELD, values).mappings().first()
        simulated: dict[str, int] = dict(map(tuple, self._connection.execute(_SIMULATED, values)))
        return Scope(
            ScopeKind.ACCOUNT,
            ACCOUNT_KEY,
            position=row["position_centicontracts"] if row else 0,
            open_bids=(row["open_bids_centicontracts"] if row else 0) + simulated.get(Side.BID.value, 0),
            open_asks=(row["open_asks_centicontracts"] if row else 0) + simulated.get(Side.ASK.value, 0),
        )

    def _keys(self, place: OrderPlace, day: str) -> dict[ScopeKind, str]:
        live = place.mode is Mode.LIVE
        return {
            ScopeKind.SESSION: place.session_id,
            ScopeKind.DAY: day,
            ScopeKind.ROLLING: str(self._now_us // HOUR_US),
            # Nothing settles the positions of a dry run, so they are counted only until the end of their day.
            ScopeKind.EVENT: place.event_ticker if live else f"{place.event_ticker} {day}",
            ScopeKind.ACCOUNT: ACCOUNT_KEY if live else day,
        }


def _scope(row: Mapping[str, Any]) -> Scope:
    return Scope(
        ScopeKind(row["kind"]),
        row["key"],
        row["scope_id"],
        row["orders"],
        row["notional_microdollars"],
        row["worst_microdollars"],
        bool(row["breached"]),
        Exposure(row["if_no_microdollars"] or 0, row["if_yes_microdollars"] or 0),
        row["position_centicontracts"] or 0,
        row["open_bids_centicontracts"] or 0,
        row["open_asks_centicontracts"] or 0,
    )

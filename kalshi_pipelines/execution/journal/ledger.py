"""The ledger of what could be lost: which scopes an order counts in, how they stand, and its postings.

The database adds the postings up and holds the caps. What is read here it sees as well, because a writing transaction
has the journal for itself.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.caps import Scope, Standing, Window, refusal, reserved
from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY, HOURS_AHEAD
from kalshi_pipelines.execution.journal.questions import Question
from kalshi_pipelines.execution.journal.reading import ATTEMPTS, Known, Row
from kalshi_pipelines.execution.journal.recording import NewRow, Recording
from kalshi_pipelines.execution.journal.records import Intent, Mode, Refusal, ScopeKind
from kalshi_pipelines.execution.journal.tables import postings, scope_markets, scopes, session_caps
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import HOUR_US, MINUTE_US, trading_day

_NOTHING: Final = Exposure()
WINDOW_HOURS: Final = 24

_NUMBERS: Final = (
    "if_no_microdollars",
    "if_yes_microdollars",
    "spent_microdollars",
    "position_centicontracts",
    "open_bids_centicontracts",
    "open_asks_centicontracts",
)


@dataclass(frozen=True, slots=True)
class Change:
    """What a posting changes: losses in micro-dollars, counts in centi-contracts."""

    exposure: Exposure = _NOTHING
    spent: int = 0
    position: int = 0
    open_bids: int = 0
    open_asks: int = 0
    orders: int = 0
    notional: int = 0

    def columns(self) -> dict[str, int]:
        """The change as columns of a posting."""
        return {
            "d_if_no_microdollars": self.exposure.if_no,
            "d_if_yes_microdollars": self.exposure.if_yes,
            "d_spent_microdollars": self.spent,
            "d_position_centicontracts": self.position,
            "d_open_bids_centicontracts": self.open_bids,
            "d_open_asks_centicontracts": self.open_asks,
            "d_orders": self.orders,
            "d_notional_microdollars": self.notional,
        }


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
#: Everything an admission is held against, in one question: asked of the journal while all others wait.
_STANDING: Final = Question(
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
_LATEST_DAY: Final = (
    sa.select(scopes.c.scope_id, scopes.c.key)
    .where(
        scopes.c.kind == ScopeKind.DAY.value,
        scopes.c.environment == sa.bindparam("environment"),
        scopes.c.subaccount == sa.bindparam("subaccount"),
        scopes.c.mode == sa.bindparam("mode"),
    )
    .order_by(scopes.c.key.desc())
    .limit(1)
)
_RESERVED_IN: Final = (
    sa.select(scopes.c.scope_id, scopes.c.kind)
    .join(postings, postings.c.scope_id == scopes.c.scope_id)
    .where(postings.c.dedupe == sa.bindparam("dedupe"))
    .order_by(scopes.c.scope_id)
)
_CAPS: Final = sa.select(session_caps).where(session_caps.c.session_id == sa.bindparam("session_id"))


class Ledger(Recording):
    """Reserving, and giving back."""

    def __init__(self, connection: sa.Connection, clock_us: Callable[[], int], known: Known | None = None) -> None:
        super().__init__(connection, clock_us, known)
        self._standings: dict[int, Standing] = {}

    def refusal(self, intent: Intent) -> Refusal | None:
        """What the caps say to a planned intent; ``None`` if it fits all of them."""
        session, standing = self.session(intent.session_id), self._standing(intent)
        return refusal(intent, standing, session, self._caps(intent.session_id))

    def _standing(self, intent: Intent) -> Standing:
        """What an order that is reserved now is held against; asked once, as nobody else can change it meanwhile."""
        known = self._standings.get(intent.intent_id)
        if known is None:
            today = trading_day(self.now_us).isoformat()
            known = self._asked(intent, today)
            # Whatever the clock says, no day comes back: what a later one has taken over would be counted apart.
            if known.newest_day > today:
                known = self._asked(intent, known.newest_day)
            self._standings[intent.intent_id] = known
        return known

    def _asked(self, intent: Intent, day: str) -> Standing:
        keys = self._keys(intent, day)
        hour = self.now_us // HOUR_US
        rows = _STANDING.asked(
            self._connection,
            {
                "environment": intent.environment,
                "subaccount": intent.subaccount,
                "mode": intent.mode.value,
                "ticker": intent.ticker,
                "since": self.now_us - MINUTE_US,
                "hour": hour,
                "first_hour": hour - WINDOW_HOURS,
                "last_hour": hour + HOURS_AHEAD,
                **{kind.value: key for kind, key in keys.items()},
            },
        )
        there = {ScopeKind(row["kind"]): _scope(row) for row in rows if row["kind"] is not None}
        first = rows[0]
        return Standing(
            {kind: there.get(kind) or Scope(kind, key) for kind, key in keys.items()},
            Window(first["window_orders"], first["window_notional_microdollars"], first["window_worst_microdollars"]),
            first["attempts"],
            first["newest_day"] or "",
        )

    def _keys(self, intent: Intent, day: str) -> dict[ScopeKind, str]:
        live = intent.mode is Mode.LIVE
        return {
            ScopeKind.SESSION: intent.session_id,
            ScopeKind.DAY: day,
            ScopeKind.ROLLING: str(self.now_us // HOUR_US),
            # What a dry run holds is never settled, so it ends with its day.
            ScopeKind.EVENT: intent.event_ticker if live else f"{intent.event_ticker} {day}",
            ScopeKind.ACCOUNT: ACCOUNT_KEY if live else day,
        }

    def _day(self, environment: str, subaccount: int, mode: Mode) -> str:
        """The trading day in New York; never one before the newest there is."""
        today = trading_day(self.now_us).isoformat()
        latest = self._latest_day(environment, subaccount, mode)
        return today if latest is None else max(today, latest[1])

    def _latest_day(self, environment: str, subaccount: int, mode: Mode) -> tuple[int, str] | None:
        row = self._connection.execute(
            _LATEST_DAY, {"environment": environment, "subaccount": subaccount, "mode": mode.value}
        ).first()
        return None if row is None else (row[0], row[1])

    def _caps(self, session_id: str) -> dict[str, Row]:
        """The caps of a session; they never change."""
        known = self._known_rows.caps.get(session_id)
        if known is None:
            found = self._connection.execute(_CAPS, {"session_id": session_id}).mappings()
            known = self._known_rows.caps[session_id] = {row["kind"]: row for row in found}
        return known

    def _reservation(self, intent: Intent) -> list[NewRow]:
        """The postings of a reservation; scopes that are new are opened, a new day with what is outstanding."""
        ids = [
            scope.scope_id or self._open_scope(intent, kind, scope.key)
            for kind, scope in self._standing(intent).scopes.items()
        ]
        bid = intent.side is Side.BID
        change = Change(
            exposure=reserved(intent),
            open_bids=intent.count_centicontracts if bid else 0,
            open_asks=0 if bid else intent.count_centicontracts,
            orders=1,
            notional=intent.notional_microdollars,
        )
        return self._postings(
            sorted(ids),
            intent.session_id,
            intent.ticker,
            "reserve",
            f"reserve:{intent.intent_id}",
            change,
            intent_id=intent.intent_id,
            event_seq=intent.state_seq + 1,
            event_state="reserved",
        )

    def _open_scope(self, intent: Intent, kind: ScopeKind, key: str) -> int:
        scope_id = self._insert_scope(
            intent.environment, intent.subaccount, intent.mode, kind, key, self._caps(intent.session_id)[kind.value]
        )
        if kind is ScopeKind.DAY and intent.mode is Mode.LIVE:
            self._carry_over(intent.environment, intent.subaccount, intent.session_id, scope_id, key)
        return scope_id

    def _insert_scope(self, environment: str, subaccount: int, mode: Mode, kind: ScopeKind, key: str, caps: Row) -> int:
        newest = self._connection.scalar(sa.select(sa.func.max(scopes.c.scope_id)))
        scope_id: int = (newest or 0) + 1
        row = {
            "scope_id": scope_id,
            "kind": kind.value,
            "environment": environment,
            "subaccount": subaccount,
            "mode": mode.value,
            "key": key,
            "hour": int(key) if kind is ScopeKind.ROLLING else None,
            "opened_us": self.now_us,
            "orders_cap": caps["orders_cap"],
            "notional_cap_microdollars": caps["notional_cap_microdollars"],
            "worst_cap_microdollars": caps["worst_cap_microdollars"],
            "orders": 0,
            "notional_microdollars": 0,
            "worst_microdollars": 0,
            "breached": 0,
        }
        self._store([(scopes, [row])])
        return scope_id

    def _carry_over(self, environment: str, subaccount: int, session_id: str, scope_id: int, day: str) -> None:
        """A new day begins with every reservation and position that is outstanding, as the account has them."""
        rows = [
            row
            for market in self.markets(environment, subaccount)
            for row in self._postings(
                [scope_id],
                session_id,
                market.ticker,
                "opening",
                f"opening:{day}:{market.ticker}",
                Change(
                    exposure=Exposure(market.if_no_microdollars, market.if_yes_microdollars),
                    spent=market.spent_microdollars,
                    position=market.position_centicontracts,
                    open_bids=market.open_bids_centicontracts,
                    open_asks=market.open_asks_centicontracts,
                ),
            )
        ]
        if rows:
            self._record("opening", rows, {"day": day})

    def _scopes_reserved_in(self, intent: Intent) -> list[int]:
        """Where facts of an intent are posted: where it was reserved, but on the newest day, which carried it over."""
        found = self._connection.execute(_RESERVED_IN, {"dedupe": f"reserve:{intent.intent_id}"}).all()
        ids = {scope_id for scope_id, kind in found if kind != ScopeKind.DAY.value or intent.mode is Mode.DRY_RUN}
        if found and intent.mode is Mode.LIVE:
            latest = self._latest_day(intent.environment, intent.subaccount, intent.mode)
            ids |= {latest[0]} if latest else set()
        return sorted(ids)

    def _released(self, intent: Intent, to_state: str, told_filled: int) -> list[NewRow]:
        """Postings that give back what an ended order has reserved and neither filled nor will."""
        held = intent.reserved_centicontracts
        kept = min(held, max(0, told_filled - intent.filled_centicontracts))
        if held == kept:
            return []
        fee = intent.fee_left_microdollars
        change = resting(intent, kept, fee) - resting(intent, held, fee)
        opens = kept - held
        returned = told_filled == 0 and to_state in {"abandoned", "rejected", "absent"}
        charged = {row[0] for row in self._connection.execute(_RESERVED_IN, {"dedupe": f"reserve:{intent.intent_id}"})}
        rows: list[NewRow] = []
        for scope_id in self._scopes_reserved_in(intent):
            # A day that took the order over was never charged its notional, so it gets none back.
            rows += self._postings(
                [scope_id],
                intent.session_id,
                intent.ticker,
                "release",
                f"release:{intent.intent_id}",
                Change(
                    exposure=change,
                    open_bids=opens if intent.side is Side.BID else 0,
                    open_asks=opens if intent.side is Side.ASK else 0,
                    notional=-intent.notional_microdollars if returned and scope_id in charged else 0,
                ),
                intent_id=intent.intent_id,
                event_seq=intent.state_seq + 1,
                event_state=to_state,
            )
        return rows

    def _postings(
        self,
        scope_ids: Iterable[int],
        session_id: str,
        ticker: str,
        kind: str,
        dedupe: str,
        change: Change,
        **of_what: object,
    ) -> list[NewRow]:
        # Whoever makes postings changes what the next order is held against.
        self._standings.clear()
        values = {
            "dedupe": dedupe,
            "kind": kind,
            "session_id": session_id,
            "ticker": ticker,
            "at_us": self.now_us,
            **of_what,
            **change.columns(),
        }
        return [NewRow(postings, {"scope_id": scope_id, **values}) for scope_id in scope_ids]


def resting(intent: Intent, count: int, fee_bound: int) -> Exposure:
    """What some of an order's contracts may add as long as they are open."""
    if count == 0:
        return _NOTHING
    return Exposure.of_resting(intent.side, intent.price_centicents, count, fee_bound)


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

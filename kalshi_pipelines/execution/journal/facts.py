"""What the exchange tells: answers, fills, settlements, orders that are not ours. Facts are stored, never refused."""

from collections.abc import Collection
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.admission import NO_DETAILS
from kalshi_pipelines.execution.journal.errors import JournalRefused
from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.execution.journal.halting import Halting
from kalshi_pipelines.execution.journal.ledger import WINDOW_HOURS, Change, resting
from kalshi_pipelines.execution.journal.reading import Row
from kalshi_pipelines.execution.journal.recording import NewRow
from kalshi_pipelines.execution.journal.records import Details, Fill, ForeignOrder, Intent, Mode, ScopeKind
from kalshi_pipelines.execution.journal.tables import (
    fills,
    foreign_orders,
    leases,
    postings,
    scope_markets,
    scopes,
    sessions,
)
from kalshi_pipelines.execution.orders.states import FINAL_STATES, NEVER_THERE, OrderState, Writer
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DOLLAR_CENTICENTS, HOUR_US

#: What halts must not fail because its reason is long.
_MOST_REASON: Final = 1_000
#: The audit's word for a state.
_KINDS: Final = {
    OrderState.RESTING: "resting",
    OrderState.PENDING_CANCEL: "cancel",
    OrderState.EXECUTED: "executed",
    OrderState.CANCELED: "canceled",
    OrderState.REJECTED: "rejected",
    OrderState.UNKNOWN: "unknown",
    OrderState.ABSENT: "absent",
}


class Facts(Halting):
    """Whatever is learned of orders after they were sent."""

    def answered(
        self,
        intent: Intent,
        state: OrderState,
        *,
        order_id: str | None = None,
        filled_centicontracts: int | None = None,
        writer: Writer = Writer.EXECUTOR,
        details: Details = NO_DETAILS,
    ) -> Intent:
        """Move an order to what the exchange says of it.

        ``filled_centicontracts`` is how much of it was filled in all; an end needs it. What was filled and is not
        posted yet stays reserved until its fills are, the rest of an ended order is given back.

        Raises:
            JournalRefused: The order can not go there from where it is.
        """
        released: list[NewRow] = []
        if state in FINAL_STATES:
            # What has fills on record was traded, whatever an answer says: nothing of its notional comes back.
            filled = max(filled_centicontracts or 0, intent.filled_centicontracts)
            released = self._released(intent, state.value, filled)
        self._event(
            intent,
            state,
            _KINDS[state],
            details,
            writer=writer,
            more=released,
            order_id=order_id,
            filled_centicontracts=filled_centicontracts,
        )
        return self._moved(
            intent,
            state,
            order_id=order_id or intent.order_id,
            told_filled_centicontracts=filled_centicontracts,
        )

    def absent(self, intent: Intent, resolution_id: int, details: Details = NO_DETAILS) -> Intent:
        """End an unknown order that was proved never to have arrived, and give back what it held.

        Raises:
            JournalRefused: There is no such resolution of this intent, or it has fills on record.
        """
        filled = self.intent(intent.intent_id).filled_centicontracts
        if filled:
            told = f"intent {intent.intent_id} has {filled} centi-contracts filled on record, so it arrived"
            raise JournalRefused("absent:filled", f"{told}: find out where its order is")
        released = self._released(intent, OrderState.ABSENT.value, 0)
        self._event(
            intent,
            OrderState.ABSENT,
            "absent",
            details,
            writer=Writer.RECONCILER,
            more=released,
            resolution_id=resolution_id,
        )
        return self._moved(intent, OrderState.ABSENT)

    def fill(self, fill: Fill, intent: Intent) -> bool:
        """Post a fill of one of our orders; False if it is known already.

        A fill that goes beyond a cap, or of an order that can not be at the exchange, or of more than was ordered,
        engages the kill switch in the same transaction.
        """
        if self._known(fills.c.fill_id, fill.fill_id):
            return False
        held = intent.reserved_centicontracts
        taken = min(held, fill.count_centicontracts)
        left = resting(intent, held - taken, max(0, intent.fee_left_microdollars - fill.fee_microdollars))
        exposure = _of_fill(fill) + left - resting(intent, held, intent.fee_left_microdollars)
        bid = intent.side is Side.BID
        rows = self._postings(
            self._scopes_reserved_in(intent),
            intent.session_id,
            intent.ticker,
            "fill",
            f"fill:{fill.fill_id}",
            Change(
                exposure,
                _spent(fill),
                fill.count_centicontracts * _sign(fill.side),
                open_bids=-taken if bid else 0,
                open_asks=0 if bid else -taken,
            ),
            fill_id=fill.fill_id,
            intent_id=intent.intent_id,
            event_seq=intent.state_seq,
            event_state=intent.state.value,
        )
        fact = NewRow(fills, _fill_values(fill, intent.intent_id))
        self._post("fill", [fact, *rows], {"client_order_id": intent.client_order_id})
        wrong = _contradiction(fill, intent)
        if wrong:
            reason = f"fill {fill.fill_id} of {fill.ticker}: {wrong}"
            self.engage_kill(1, "journal", "journal", reason[:_MOST_REASON])
        return True

    def foreign_order(self, environment: str, subaccount: int, order: ForeignOrder, event_ticker: str) -> bool:
        """Note a resting order of the sub-account that is not ours, and count it; False if it is known already."""
        if self._known(foreign_orders.c.order_id, order.order_id):
            return False
        exposure = Exposure.of_resting(order.side, order.price_centicents, order.remaining_centicontracts, 0)
        bid = order.side is Side.BID
        change = Change(
            exposure,
            open_bids=order.remaining_centicontracts if bid else 0,
            open_asks=0 if bid else order.remaining_centicontracts,
        )
        values = {
            "order_id": order.order_id,
            "ticker": order.ticker,
            "side": order.side.value,
            "price_centicents": order.price_centicents,
            "remaining_centicontracts": order.remaining_centicontracts,
            "seen_us": self.now_us,
            "why": order.why,
        }
        rows = self._account_postings(
            environment, subaccount, order.ticker, event_ticker, "foreign", f"foreign:{order.order_id}", change
        )
        self._post("foreign", [NewRow(foreign_orders, values), *rows], {})
        return True

    def foreign_order_gone(self, environment: str, subaccount: int, order_id: str, event_ticker: str) -> bool:
        """Take back what a foreign order counted, once it rests no more; False if that was done or it is unknown."""
        dedupe = f"foreign_gone:{order_id}"
        row = self._one(foreign_orders.select().where(foreign_orders.c.order_id == order_id))
        if row is None or self._known(postings.c.dedupe, dedupe):
            return False
        side, count = Side(row["side"]), row["remaining_centicontracts"]
        change = Change(
            Exposure() - Exposure.of_resting(side, row["price_centicents"], count, 0),
            open_bids=-count if side is Side.BID else 0,
            open_asks=-count if side is Side.ASK else 0,
        )
        rows = self._account_postings(environment, subaccount, row["ticker"], event_ticker, "foreign", dedupe, change)
        self._post("foreign", rows, {"order_id": order_id, "gone": True})
        return True

    def foreign_fill(self, environment: str, subaccount: int, fill: Fill, event_ticker: str) -> bool:
        """Post a fill of an order that is not ours; False if it is known already."""
        if self._known(fills.c.fill_id, fill.fill_id):
            return False
        change = Change(_of_fill(fill), _spent(fill), fill.count_centicontracts * _sign(fill.side))
        rows = self._account_postings(
            environment, subaccount, fill.ticker, event_ticker, "foreign", f"fill:{fill.fill_id}", change
        )
        rows = [NewRow(row.table, {**row.values, "fill_id": fill.fill_id}) for row in rows]
        self._post("foreign", [NewRow(fills, _fill_values(fill, None)), *rows], {})
        return True

    def opening_position(
        self,
        environment: str,
        subaccount: int,
        ticker: str,
        event_ticker: str,
        *,
        position_centicontracts: int,
        spent_microdollars: int,
        dedupe: str,
    ) -> bool:
        """Count a position that was there before the journal; False if that was done."""
        if self._known(postings.c.dedupe, f"opening:{dedupe}"):
            return False
        exposure = Exposure.of_position(position_centicontracts, spent_microdollars)
        change = Change(exposure, spent_microdollars, position_centicontracts)
        rows = self._account_postings(
            environment, subaccount, ticker, event_ticker, "opening", f"opening:{dedupe}", change
        )
        self._post("opening", rows, {"ticker": ticker})
        return True

    def settle(
        self,
        environment: str,
        subaccount: int,
        ticker: str,
        event_ticker: str,
        *,
        payoff_centicents: int,
        dedupe: str,
    ) -> bool:
        """A market has paid out; False if that was posted before.

        Event and account hold what can still be lost and forget it; session, day and rolling hours keep what was.
        Orders of the market that are still open keep their reservation.
        """
        dedupe = f"settle:{dedupe}"
        if self._known(postings.c.dedupe, dedupe):
            return False
        session_id = self._acting_session(environment, subaccount)
        rows: list[NewRow] = []
        for scope in self._holding(environment, subaccount, ticker, event_ticker):
            spent, position = scope["spent_microdollars"], scope["position_centicontracts"]
            forgets = scope["kind"] in {ScopeKind.EVENT.value, ScopeKind.ACCOUNT.value}
            paid = spent if forgets else position * payoff_centicents
            change = Change(Exposure(-paid, DOLLAR_CENTICENTS * position - paid), -paid, -position)
            rows += self._postings([scope["scope_id"]], session_id, ticker, "settle", dedupe, change)
        if not rows:
            return False
        self._post("settle", rows, {"ticker": ticker, "payoff_centicents": payoff_centicents})
        return True

    def beyond_caps(self, environment: str, subaccount: int) -> list[str]:
        """Which caps of the newest live session the account is beyond, whatever its scopes were lifted to."""
        session_id = self._acting_session(environment, subaccount)
        caps, most = self._caps(session_id), self.session(session_id)["position_cap_centicontracts"]
        found = self._connection.execute(
            sa.select(scopes.c.kind, scopes.c.key, scopes.c.worst_microdollars)
            .where(
                scopes.c.environment == environment,
                scopes.c.subaccount == subaccount,
                scopes.c.mode == Mode.LIVE.value,
                scopes.c.kind.in_([ScopeKind.ACCOUNT.value, ScopeKind.EVENT.value, ScopeKind.DAY.value]),
            )
            .order_by(scopes.c.scope_id)
        )
        beyond = [f"{kind} {key}" for kind, key, worst in found if worst > caps[kind]["worst_cap_microdollars"]]
        held = self.markets(environment, subaccount)
        return beyond + [f"position {each.ticker}" for each in held if abs(each.position_centicontracts) > most]

    def review(self, environment: str, subaccount: int, by: str, reason: str) -> int:
        """Clear every breach of a sub-account after a person has looked into it; how many there were."""
        session_id = self._acting_session(environment, subaccount)
        found = self._connection.execute(
            sa.select(scopes.c.scope_id, scopes.c.kind, scopes.c.key)
            .where(scopes.c.environment == environment, scopes.c.subaccount == subaccount, scopes.c.breached == 1)
            .order_by(scopes.c.scope_id)
        ).all()
        rows = [
            posting
            for scope_id, kind, key in found
            for posting in self._postings(
                [scope_id], session_id, "*", "review", f"review:{kind}:{key}:{self._seq + 1}", Change()
            )
        ]
        if rows:
            self._record("review", rows, {"by": by, "reason": reason})
        return len(rows)

    def _post(self, kind: str, rows: list[NewRow], facts: dict[str, object]) -> None:
        """Store facts, and engage the kill switch if they made a scope breached."""
        touched = sorted({row.values["scope_id"] for row in rows if row.table is postings}, key=str)
        before = self._breached_of(touched)
        self._record(kind, rows, facts)
        new = sorted(self._breached_of(touched) - before)
        if new:
            self.audit("breach", {"scopes": new})
            reason = f"facts went beyond the caps of {', '.join(new)}"
            self.engage_kill(1, "journal", "journal", reason[:_MOST_REASON])

    def _breached_of(self, scope_ids: Collection[object]) -> set[str]:
        found = self._connection.execute(
            sa.select(scopes.c.kind, scopes.c.key).where(scopes.c.scope_id.in_(scope_ids), scopes.c.breached == 1)
        )
        return {f"{kind} {key}" for kind, key in found}

    def _known(self, column: sa.Column[str], value: str) -> bool:
        return self._connection.execute(sa.select(sa.literal(1)).where(column == value).limit(1)).first() is not None

    def _acting_session(self, environment: str, subaccount: int) -> str:
        """The newest live session: its caps are what facts that belong to no order are held against."""
        table = sessions.c
        found: str | None = self._connection.scalar(
            sa.select(table.session_id)
            .where(table.environment == environment, table.subaccount == subaccount, table.mode == Mode.LIVE.value)
            .order_by(table.audit_seq.desc())
            .limit(1)
        )
        if found is None:
            raise JournalRefused("no_session", f"no live session of {environment} {subaccount} was ever opened")
        return found

    def _account_postings(
        self,
        environment: str,
        subaccount: int,
        ticker: str,
        event_ticker: str,
        kind: str,
        dedupe: str,
        change: Change,
    ) -> list[NewRow]:
        """Postings of what belongs to the account but to none of our orders: account, event and the present day."""
        session_id = self._acting_session(environment, subaccount)
        keys = {
            ScopeKind.ACCOUNT: ACCOUNT_KEY,
            ScopeKind.EVENT: event_ticker,
            ScopeKind.DAY: self._day(environment, subaccount, Mode.LIVE),
        }
        caps = self._caps(session_id)
        ids = []
        for scope_kind, key in keys.items():
            found: int | None = self._connection.scalar(
                sa.select(scopes.c.scope_id).where(
                    scopes.c.kind == scope_kind.value,
                    scopes.c.environment == environment,
                    scopes.c.subaccount == subaccount,
                    scopes.c.mode == Mode.LIVE.value,
                    scopes.c.key == key,
                )
            )
            if found is None:
                row = caps[scope_kind.value]
                found = self._insert_scope(environment, subaccount, Mode.LIVE, scope_kind, key, row)
                if scope_kind is ScopeKind.DAY:
                    self._carry_over(environment, subaccount, session_id, found, key)
            ids.append(found)
        return self._postings(sorted(ids), session_id, ticker, kind, dedupe, change)

    def _holding(self, environment: str, subaccount: int, ticker: str, event_ticker: str) -> list[Row]:
        """Scopes that still count and have something of a market."""
        day = self._latest_day(environment, subaccount, Mode.LIVE)
        held = sa.select(leases.c.session_id).where(
            leases.c.environment == environment, leases.c.subaccount == subaccount
        )
        found = (
            sa.select(scopes.c.scope_id, scopes.c.kind, scope_markets)
            .join(scope_markets, scope_markets.c.scope_id == scopes.c.scope_id)
            .where(
                scope_markets.c.ticker == ticker,
                sa.or_(scope_markets.c.position_centicontracts != 0, scope_markets.c.spent_microdollars != 0),
                scopes.c.environment == environment,
                scopes.c.subaccount == subaccount,
                scopes.c.mode == Mode.LIVE.value,
                sa.or_(
                    sa.and_(scopes.c.kind == ScopeKind.ACCOUNT.value, scopes.c.key == ACCOUNT_KEY),
                    sa.and_(scopes.c.kind == ScopeKind.EVENT.value, scopes.c.key == event_ticker),
                    scopes.c.scope_id == (day[0] if day else 0),
                    scopes.c.hour >= self.now_us // HOUR_US - WINDOW_HOURS,
                    sa.and_(scopes.c.kind == ScopeKind.SESSION.value, scopes.c.key.in_(held)),
                ),
            )
            .order_by(scopes.c.scope_id)
        )
        return self._all(found)


def _sign(side: Side) -> int:
    return 1 if side is Side.BID else -1


def _spent(fill: Fill) -> int:
    return _sign(fill.side) * fill.price_centicents * fill.count_centicontracts + fill.fee_microdollars


def _of_fill(fill: Fill) -> Exposure:
    return Exposure.of_fill(fill.side, fill.price_centicents, fill.count_centicontracts, fill.fee_microdollars)


def _fill_values(fill: Fill, intent_id: int | None) -> dict[str, object]:
    return {
        "fill_id": fill.fill_id,
        "order_id": fill.order_id,
        "intent_id": intent_id,
        "ticker": fill.ticker,
        "side": fill.side.value,
        "price_centicents": fill.price_centicents,
        "count_centicontracts": fill.count_centicontracts,
        "fee_microdollars": fill.fee_microdollars,
        "at_us": fill.at_us,
    }


def _contradiction(fill: Fill, intent: Intent) -> str | None:
    """What of a fill can not be, given the order it is of."""
    if intent.state in NEVER_THERE:
        return f"the order is {intent.state}"
    if (fill.ticker, fill.side) != (intent.ticker, intent.side):
        return "it is of another market or side than the order"
    if intent.filled_centicontracts + fill.count_centicontracts > intent.count_centicontracts:
        return "more was filled than ordered"
    better = (intent.price_centicents - fill.price_centicents) * _sign(intent.side)
    if better < 0:
        return "its price is worse than the order's limit"
    if intent.fees_microdollars + fill.fee_microdollars > intent.fee_bound_microdollars:
        return "its fee is above the bound"
    return None

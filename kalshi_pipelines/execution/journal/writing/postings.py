"""Postings: the rows that change the counters of scopes. The database adds them up and enforces the caps."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from kalshi_pipelines.execution.journal.counting import view_of_scope
from kalshi_pipelines.execution.journal.records import Fill, Intent
from kalshi_pipelines.execution.journal.tables import postings
from kalshi_pipelines.execution.journal.writing.admission_figures import AdmissionFigureReader
from kalshi_pipelines.execution.journal.writing.audit_writer import NewRow
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure

_NOTHING: Final = Exposure()


@dataclass(frozen=True, slots=True)
class Change:
    """The amounts by which a posting changes a scope: losses in micro-dollars, counts in centi-contracts."""

    exposure: Exposure = _NOTHING
    spent: int = 0
    position: int = 0
    open_bids: int = 0
    open_asks: int = 0
    orders: int = 0
    notional: int = 0

    def columns(self) -> dict[str, int]:
        """Return the amounts of this change as columns of a posting."""
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


NO_CHANGE: Final = Change()


class PostingMaker:
    """Makes the ledger postings of one transaction."""

    def __init__(self, figures: AdmissionFigureReader, now_us: int) -> None:
        self._figures, self._now_us = figures, now_us

    def make(
        self,
        scope_ids: Iterable[int],
        session_id: str,
        ticker: str,
        kind: str,
        dedupe: str,
        change: Change,
        **references: object,
    ) -> list[NewRow]:
        """Return one posting of a change for each scope.

        ``references`` are the columns that name the intent, event or fill behind the change.
        """
        # New postings change counters, so figures that were read earlier must not be used for the next order.
        self._figures.forget()
        values = {
            "dedupe": dedupe,
            "kind": kind,
            "session_id": session_id,
            "ticker": ticker,
            "at_us": self._now_us,
            **references,
            **change.columns(),
        }
        return [NewRow(postings, {"scope_id": scope_id, **values}) for scope_id in scope_ids]


def resting(intent: Intent, count: int, fee_bound: int) -> Exposure:
    """Return how much an order's open contracts may add to the losses."""
    if count == 0:
        return _NOTHING
    return Exposure.of_resting(intent.side, intent.price_centicents, count, fee_bound)


def change_by_position(fill: Fill) -> Change:
    """Return how a fill changes the position, its cost and the losses."""
    sign = 1 if fill.side is Side.BID else -1
    exposure = Exposure.of_fill(fill.side, fill.price_centicents, fill.count_centicontracts, fill.fee_microdollars)
    spent = sign * fill.price_centicents * fill.count_centicontracts + fill.fee_microdollars
    return Change(exposure, spent, sign * fill.count_centicontracts)


def change_by_fill(fill: Fill, intent: Intent, counted: int) -> Change:
    """Return how a fill changes a scope that counts this number of the order's centi-contracts.

    The filled contracts turn from open into held. Contracts that the scope does not count are filled first.
    """
    seen = view_of_scope(intent, counted)
    elsewhere = intent.count_centicontracts - counted
    after = max(0, intent.filled_centicontracts + fill.count_centicontracts - elsewhere)
    part = replace(
        fill,
        count_centicontracts=after - seen.filled_centicontracts,
        fee_microdollars=fill.fee_microdollars if counted else 0,
    )
    held = seen.reserved_centicontracts
    taken = min(held, part.count_centicontracts)
    left = resting(seen, held - taken, max(0, seen.fee_left_microdollars - part.fee_microdollars))
    change = change_by_position(part)
    bid = intent.side is Side.BID
    return replace(
        change,
        exposure=change.exposure + left - resting(seen, held, seen.fee_left_microdollars),
        open_bids=-taken if bid else 0,
        open_asks=0 if bid else -taken,
    )

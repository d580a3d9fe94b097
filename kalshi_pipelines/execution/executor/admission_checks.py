"""The checks that the executor makes of an order: before it reserves the order's worst case, and again before it sends.

Checks of one order alone are in ``gates/order_checks``. These checks also use the session, the account's other orders
and its last reconciliation, as the journal has them.
"""

from collections.abc import Iterable
from dataclasses import replace

from kalshi_pipelines.execution.configuration import TradeSettings
from kalshi_pipelines.execution.executor.decisions import PlannedOrder
from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.gates.order_checks import (
    balance_check,
    check,
    market_checks,
    own_book_check,
    proposal_checks,
)
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Check, Intent, Mode
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.idempotency import former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import ProposedOrder
from kalshi_pipelines.execution.orders.states import TRIED_IN_VAIN, OrderState
from kalshi_pipelines.units import MINUTE_US


class AdmissionChecks:
    """Makes the checks of one session's orders with what the journal has on record."""

    def __init__(self, session: TradeSession, settings: TradeSettings) -> None:
        self._session, self._settings = session, settings

    def of_order(self, reading: JournalReading, planned: PlannedOrder, at_us: int) -> tuple[Check, ...]:
        """Return all checks of a planned order at one instant, whether they succeeded or not."""
        own = reading.orders.open_intents(self._session.account, mode=self._session.mode)
        if self._session.mode is Mode.DRY_RUN:
            # Open orders of other dry runs are ignored, because they never rest at the exchange. The orders of a killed
            # dry run stay open for ever and could deny the orders of every later dry run.
            own = [intent for intent in own if intent.session_id == self._session.session_id]
        order = planned.order
        return (
            *proposal_checks(order, self._settings, at_us),
            *market_checks(order, planned.market, self._settings, at_us, only_closes=planned.only_closes),
            *planned.checks,
            *_balance_checks(planned),
            own_book_check(order, own),
            _unresolved_check(order, own),
            *self._reconciled_checks(reading, at_us),
        )

    def of_attempt(self, reading: JournalReading, order: ProposedOrder) -> tuple[Check, ...]:
        """Check that the signal's previous attempt ended without a fill.

        Otherwise the same signal could be traded twice.
        """
        if order.signal.attempt == 1:
            return ()
        signal = replace(order.signal, attempt=order.signal.attempt - 1)
        account = self._session.account
        before = reading.orders.intent_of_key(
            self._session.mode,
            idempotency_key(account, order.proposer, signal),
            former_idempotency_key(account, signal),
        )
        return (
            check(
                DenialReason.ATTEMPT_NOT_DUE,
                before is not None
                and before.state in TRIED_IN_VAIN
                and not filled_count(before)
                and not reading.acknowledgements.filled_elsewhere(before.intent_id),
                f"attempt {signal.attempt} that ended without a fill",
                "no such attempt"
                if before is None
                else f"{before.state.value}, {amounts.count(filled_count(before))} filled",
            ),
        )

    def _reconciled_checks(self, reading: JournalReading, at_us: int) -> tuple[Check, ...]:
        """Check that the account's last reconciliation is recent and clean. A dry run needs no reconciliation."""
        if self._session.mode is Mode.DRY_RUN:
            return ()
        account = self._session.account
        last, counted = (
            reading.reconciliations.newest(account),
            reading.reconciliations.has_any_since_first_session(account),
        )
        limit = self._settings.reconciled_minutes * MINUTE_US
        return (
            check(
                DenialReason.RECONCILIATION_NOT_CLEAN,
                last is not None and last.clean and counted and 0 <= at_us - last.finished_us <= limit,
                f"a clean reconciliation in the last {self._settings.reconciled_minutes} minutes",
                "none since the first session, so positions are not counted yet"
                if last is None or not counted
                else f"{last.differences} differences, {(at_us - last.finished_us) // 1_000} ms ago",
            ),
        )


def filled_count(intent: Intent) -> int:
    """Return the filled centi-contracts of an order.

    The count is the larger one of two: the sum of the recorded fills, and the filled count in the exchange's last
    answer.
    """
    return max(intent.filled_centicontracts, intent.reported_filled_centicontracts or 0)


def _balance_checks(planned: PlannedOrder) -> tuple[Check, ...]:
    """Check that the balance covers the cost of the order. An order that only closes a position costs nothing."""
    if planned.balance is None or planned.only_closes:
        return ()
    available = planned.balance.available_microdollars
    return (balance_check(available, planned.cost, planned.request.exchange_index),)


def _unresolved_check(order: ProposedOrder, own: Iterable[Intent]) -> Check:
    unresolved = [
        str(intent.intent_id)
        for intent in own
        if intent.ticker == str(order.ticker) and intent.state in (OrderState.SENDING, OrderState.UNKNOWN)
    ]
    return check(DenialReason.UNRESOLVED_ORDER, not unresolved, "none in this market", ", ".join(unresolved) or "none")

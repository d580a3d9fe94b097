"""A reconciliation from start to end.

A second reconciliation of an unchanged account records no fact again. A reconciliation ends even if the exchange does
not answer.
"""

import time
from collections.abc import Callable, Sequence

from kalshi_pipelines.execution.gates.order_checks import MOST_CLOCK_DIFFERENCE_MS
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.records import EvidenceItem, Signature
from kalshi_pipelines.execution.journal.transaction import JournalTransaction
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.checkpoints import PassCheckpoint, ignore_checkpoint
from kalshi_pipelines.execution.orders.states import UNRESOLVED_STATES, OrderState
from kalshi_pipelines.execution.reconciliation.account import AccountReader
from kalshi_pipelines.execution.reconciliation.acknowledgement import (
    ACKNOWLEDGE,
    Acknowledgement,
    acknowledge,
    show_evidence,
)
from kalshi_pipelines.execution.reconciliation.comparison import Comparison, compare
from kalshi_pipelines.execution.reconciliation.evidence import Evidence
from kalshi_pipelines.execution.reconciliation.report import AccountDifference, DifferenceKind, ReconciliationReport
from kalshi_pipelines.execution.reconciliation.resolution import (
    DEFAULT_LIMITS,
    UNREADABLE,
    FenceTransport,
    ReconciliationContext,
    ReconciliationLimits,
    Resolution,
    mark_leftovers,
    resolve_unknown,
)
from kalshi_pipelines.units import now_us

#: The name under which a reconciliation engages the kill switch. Only a person can release the switch.
RECONCILER = "reconciler"
_MOST_TEXT = 3_500


class Reconciler:
    """Reconciles one sub-account at the exchange with the journal.

    Args:
        journal: The journal of the account's environment.
        exchange: Reads the account at the exchange.
        transport: Triggers order groups.
        account: The account to reconcile.
        clock_us: Returns the present instant in microseconds.
        pause: Waits for a number of seconds.
        checkpoint: Called after each step.
        limits: The limits of time and of attempts.
    """

    def __init__(
        self,
        journal: Journal,
        exchange: AccountReader,
        transport: FenceTransport,
        account: Account,
        *,
        clock_us: Callable[[], int] = now_us,
        pause: Callable[[float], None] = time.sleep,
        checkpoint: PassCheckpoint = ignore_checkpoint,
        limits: ReconciliationLimits = DEFAULT_LIMITS,
    ) -> None:
        self._context = ReconciliationContext(
            journal, exchange, transport, account, limits, clock_us, pause, checkpoint
        )

    def reconcile(self, *, own_session: str | None = None) -> ReconciliationReport:
        """Resolve unknown orders, compare the account with the journal, and record and return a report.

        If this computer's clock differs too much from the exchange's, no order is judged and no fact is recorded. The
        report then contains only the difference between the clocks. Failures of the exchange make the report unclean
        and raise no error.

        Args:
            own_session: The caller's session. It sends nothing during the reconciliation, so its unfinished orders
                count as left behind. The session ends if one of its order groups has to be fenced.

        Raises:
            JournalUnavailable: The journal cannot be read or written. The next reconciliation finds the same facts.
        """
        context = self._context
        started_us = context.clock_us()
        clock_difference = _clock_difference(context)
        if clock_difference is None:
            marked, resolution = mark_leftovers(context, own_session), resolve_unknown(context)
            comparison = compare(context)
        else:
            marked, resolution, comparison = [], Resolution(), Comparison(differences=[clock_difference])
        differences = (*resolution.differences, *comparison.differences)
        with context.journal.writing() as transaction:
            unresolved = self._unresolved(transaction, own_session)
            report = ReconciliationReport(
                context.account,
                started_us,
                max(started_us, transaction.now_us),
                comparison.as_of_us,
                differences,
                (*marked, *resolution.resolved, *comparison.resolved),
                unresolved,
                {**comparison.figures, "fences_set": resolution.fences, "sweeps_of_markets": resolution.sweeps},
                tuple(comparison.notes),
            )
            self._halt(transaction, differences)
            number = transaction.reconciliations.record(
                context.account,
                started_us,
                0 if report.as_of_us is None else report.as_of_us,
                differences=len(differences) + len(unresolved),
                clean=report.clean,
                report=str(report)[:_MOST_TEXT],
            )
        return ReconciliationReport(
            **{**{name: getattr(report, name) for name in report.__slots__}, "reconciliation_id": number}
        )

    def show_evidence(self, action: str = ACKNOWLEDGE, history: Sequence[EvidenceItem] = ()) -> Evidence:
        """Return what persons can acknowledge or adopt now. ``acknowledgement.show_evidence`` describes the details."""
        return show_evidence(self._context, action, history)

    def acknowledge(
        self, digest: str, signature: Signature, action: str = ACKNOWLEDGE, history: Sequence[EvidenceItem] = ()
    ) -> Acknowledgement:
        """Sign the evidence with this digest. ``acknowledgement.acknowledge`` describes the details."""
        return acknowledge(self._context, digest, signature, action, history)

    def _unresolved(self, transaction: JournalTransaction, own_session: str | None) -> tuple[str, ...]:
        """Return the client order ids of unknown orders.

        Orders that another live session may be sending now are left out.
        """
        found = self._context.open_intents(transaction.reading, UNRESOLVED_STATES)
        return tuple(
            intent.client_order_id
            for intent in found
            if intent.state is OrderState.UNKNOWN or intent.session_id == own_session
        )

    def _halt(self, transaction: JournalTransaction, differences: Sequence[AccountDifference]) -> None:
        """Engage the kill switch if a difference requires it and the switch is not engaged yet."""
        halting = [str(difference) for difference in differences if difference.halts]
        if halting and not transaction.reading.halts.kill_state().engaged:
            more = f" and {len(halting) - 3} more" if len(halting) > 3 else ""
            reason = "; ".join(halting[:3])[:_MOST_TEXT] + more
            transaction.halts.engage(1, RECONCILER, RECONCILER, reason)


def _clock_difference(context: ReconciliationContext) -> AccountDifference | None:
    """Return a difference if this computer's clock differs too much from the exchange's clock; otherwise None.

    If the exchange cannot be read, the function returns None, because later reads report the failure.
    """
    try:
        ahead_ms = context.exchange.clock_difference_ms()
    except UNREADABLE:
        return None
    if ahead_ms is None or abs(ahead_ms) <= MOST_CLOCK_DIFFERENCE_MS:
        return None
    detail = (
        f"the exchange's clock is {ahead_ms} ms ahead, {MOST_CLOCK_DIFFERENCE_MS} ms are allowed: "
        "synchronise this computer's clock (NTP)"
    )
    return AccountDifference(DifferenceKind.CLOCK_SKEWED, "this computer's clock", detail)

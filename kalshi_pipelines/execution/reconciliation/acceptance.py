"""What a person accepts of what a reconciliation found: positions nobody can explain, and facts beyond a cap.

Everything else has to go away by itself: an order of somebody else's is canceled, one of unknown outcome resolved.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.reconciliation.positions import counted_positions, take_over
from kalshi_pipelines.execution.reconciliation.report import DifferenceKind, ReconciliationReport
from kalshi_pipelines.execution.reconciliation.resolution import ReconciliationContext

ACCEPTABLE: Final = frozenset({DifferenceKind.POSITION_DRIFT, DifferenceKind.SCOPE_BREACHED})


class NotAccepted(ExpectedError):
    """Nothing was accepted; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What was accepted: centi-contracts by which each market's position was corrected, and how many breaches."""

    corrections: dict[str, int]
    breaches: int

    def __str__(self) -> str:
        lines = [f"{ticker}: corrected by {amounts.count(by)}" for ticker, by in self.corrections.items()]
        return "\n".join([*lines, f"breaches reviewed: {self.breaches}"])


def accept(
    context: ReconciliationContext, report: ReconciliationReport, tickers: Collection[str], by: str, why: str
) -> Acceptance:
    """Take the exchange's positions of these markets as the journal's own, and clear every breach.

    Args:
        context: Inputs of the reconciliation.
        report: Made just now.
        tickers: The markets whose positions drifted: all of them, and no other.
        by: Who accepts.
        why: For the audit.

    Raises:
        NotAccepted: Nothing differs, something else does, or other markets drifted.
        KalshiError, UnreadableAccount: The positions can not be read.
        JournalUnavailable: The journal can not be written.
    """
    if report.clean:
        raise NotAccepted("The account is as the journal says.")
    others = [str(each) for each in report.differences if each.kind not in ACCEPTABLE]
    others += [f"still unknown: {each}" for each in report.unresolved]
    if others:
        raise NotAccepted(f"Only positions and breached caps can be accepted, and there is more: {'; '.join(others)}.")
    drifted = sorted(each.subject for each in report.differences if each.kind is DifferenceKind.POSITION_DRIFT)
    if drifted != sorted(tickers):
        raise NotAccepted(f"The positions that differ are those of {', '.join(drifted) or 'no market'}: name these.")
    holdings = context.exchange.holdings()
    events = {ticker: context.exchange.event_of(ticker) for ticker in drifted}
    with context.journal.writing() as transaction:
        counted = counted_positions(transaction, context.account)
        corrections = {
            ticker: take_over(
                transaction,
                context.account,
                ticker,
                events[ticker],
                holding=holdings.get(ticker),
                counted=counted.get(ticker, 0),
                dedupe=f":{transaction.now_us}",
            )
            for ticker in drifted
        }
        breaches = transaction.ledger.clear_breaches(context.account, by, why)
        transaction.audit.append("review", {"by": by, "reason": why, "corrections": corrections, "breaches": breaches})
    return Acceptance(corrections, breaches)

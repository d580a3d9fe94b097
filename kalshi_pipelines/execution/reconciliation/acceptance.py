"""Acceptance: a person accepts positions that no fill explains and clears caps that recorded facts exceeded.

Other differences cannot be accepted: foreign orders have to be canceled, and unknown outcomes have to be resolved.
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
    """The differences that a person named cannot be accepted, so nothing was accepted."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The result of an acceptance: each market's correction in centi-contracts, and the number of cleared breaches."""

    corrections: dict[str, int]
    breaches: int

    def __str__(self) -> str:
        lines = [f"{ticker}: corrected by {amounts.count(by)}" for ticker, by in self.corrections.items()]
        return "\n".join([*lines, f"breached caps cleared: {self.breaches}"])


def accept(
    context: ReconciliationContext, report: ReconciliationReport, tickers: Collection[str], by: str, why: str
) -> Acceptance:
    """Correct the journal's positions in drifted markets to the exchange's positions, and clear every breached cap.

    Args:
        context: The journal, the exchange and the account of the reconciliation.
        report: The report of a reconciliation that was made just now.
        tickers: All markets whose positions drifted, and no other market.
        by: The person who accepts.
        why: The person's reason, for the audit.

    Raises:
        NotAccepted: Nothing differs, there are differences of other kinds, or the drifted markets are not those in
            ``tickers``.
        KalshiError, UnreadableAccount: The positions cannot be read.
        JournalUnavailable: The journal cannot be written.
    """
    if report.clean:
        raise NotAccepted("The account matches the journal, so there is nothing to accept.")
    others = [str(each) for each in report.differences if each.kind not in ACCEPTABLE]
    others += [f"still unknown: {each}" for each in report.unresolved]
    if others:
        raise NotAccepted(
            f"Only positions and breached caps can be accepted, but there are other differences: {'; '.join(others)}.",
            "Resolve these first.",
        )
    drifted = sorted(each.subject for each in report.differences if each.kind is DifferenceKind.POSITION_DRIFT)
    if drifted != sorted(tickers):
        raise NotAccepted(
            f"The positions that differ are those of {', '.join(drifted) or 'no market'}.",
            "Name exactly these markets.",
        )
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

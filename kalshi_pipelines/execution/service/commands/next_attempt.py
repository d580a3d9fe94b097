"""The next attempt of a signal whose previous attempt ended without a fill, for the command ``propose --again``."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.records import Intent, Mode
from kalshi_pipelines.execution.orders import amounts
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.idempotency import former_idempotency_key, idempotency_key
from kalshi_pipelines.execution.orders.proposals import MOST_ATTEMPTS, ProposedOrder, Proposer
from kalshi_pipelines.execution.orders.states import FINAL_STATES, TRIED_IN_VAIN
from kalshi_pipelines.execution.service.command_context import CommandRefused
from kalshi_pipelines.units import microseconds


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """An order with the number of its next attempt, and the reason for that number as text for people."""

    order: ProposedOrder
    why: str


def next_attempt(journal: Journal, account: Account, mode: Mode, order: ProposedOrder) -> NextAttempt:
    """Return the next attempt of an order's signal. Attempts of live sessions and of dry runs are counted separately.

    The executor checks again that the previous attempt ended without a fill, so a race cannot repeat an order.

    Raises:
        CommandRefused: The last attempt may still be filled, or was filled, or its proposal still waits. Or this
            proposer has never proposed the signal, so the order would be a further one.
    """
    with journal.reading() as reading:
        last, number = None, 1
        while (found := _intent_of(reading, account, mode, order, number)) is not None:
            last, number = found, number + 1
        waiting = reading.inbox.number_of(_numbered(order, number), mode, microseconds(order.as_of))
        if last is None:
            _require_proposed_before(reading.inbox.proposers_of(order.signal), order)
    if last is not None:
        _require_ended_in_vain(last, number - 1)
    if number > MOST_ATTEMPTS:
        raise CommandRefused(
            f"This signal has had {MOST_ATTEMPTS:,} attempts. Nothing was stored.", "Choose another --signal."
        )
    if waiting is not None:
        raise CommandRefused(
            f"Attempt {number} of this signal is already in the inbox, as proposal {waiting}. Nothing was stored.",
            "Let a session decide about it, or wait until it expires. Then propose again.",
        )
    if last is None:
        return NextAttempt(_numbered(order, 1), "Attempt 1: no order of this signal was planned before.")
    reason = "" if last.denial is None else f" ({last.denial.code})"
    why = f"attempt {number - 1}, intent {last.intent_id}, ended {last.state.value}{reason} without a fill"
    return NextAttempt(_numbered(order, number), f"Attempt {number}: {why}.")


def _require_proposed_before(proposers: Sequence[Proposer], order: ProposedOrder) -> None:
    """Check that the order's proposer has an earlier proposal of its signal."""
    if order.proposer in proposers:
        return
    names = ", ".join(f"{each.kind.value} {each.name}" for each in proposers[:10])
    raise CommandRefused(
        f"The {order.actor.value} {order.actor_name} has no earlier attempt of this signal. "
        f"{f'It was proposed by: {names}' if names else 'Nobody has proposed it'}. Nothing was stored.",
        "Give --signal, --name and --kind of the earlier proposal. Without --again, this is a new order.",
    )


def _require_ended_in_vain(last: Intent, number: int) -> None:
    filled = max(last.filled_centicontracts, last.reported_filled_centicontracts or 0)
    what = f"Attempt {number} of this signal, intent {last.intent_id}, is {last.state.value.replace('_', ' ')}"
    if filled:
        raise CommandRefused(
            f"{what} with {amounts.count(filled)} filled. Nothing was stored.",
            "A further order needs another --signal.",
        )
    if last.state in TRIED_IN_VAIN:
        return
    if last.state in FINAL_STATES:
        raise CommandRefused(f"{what}. Nothing was stored.", "A further order needs another --signal.")
    raise CommandRefused(
        f"{what} and may still be filled. Nothing was stored.",
        "Wait until it has ended, or resolve it with `reconcile`. Then propose again.",
    )


def _intent_of(
    reading: JournalReading, account: Account, mode: Mode, order: ProposedOrder, number: int
) -> Intent | None:
    signal = _numbered(order, number).signal
    keys = idempotency_key(account, order.proposer, signal), former_idempotency_key(account, signal)
    return reading.orders.intent_of_key(mode, *keys)


def _numbered(order: ProposedOrder, number: int) -> ProposedOrder:
    return replace(order, signal=replace(order.signal, attempt=number))

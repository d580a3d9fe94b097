"""The proposals that a session decides about now, and those that it leaves for the next session.

A session decides a bounded number of proposals. Every decision is an attempt, and the attempts of a minute are capped.
Therefore some attempts are kept for orders that must not wait: those of persons, and those that close a position.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Final

from kalshi_pipelines.execution.executor.session import TradeSession
from kalshi_pipelines.execution.journal.reading.inbox import PendingCount
from kalshi_pipelines.execution.journal.reading.journal_reading import JournalReading
from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.orders import shares
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import Action
from kalshi_pipelines.execution.text import safe_line
from kalshi_pipelines.units import HOUR_US

#: A session ignores a proposal that expired longer ago than this time: it does not record a denial of the proposal.
FORGOTTEN_AFTER_US: Final = HOUR_US
#: The largest number of proposals that a session decides about at once.
MOST_PROPOSALS: Final = 100
_MOST_NAMES: Final = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """Rows of the inbox to decide about now: valid proposals, and some of those that expired."""

    valid: tuple[Row, ...]
    late: tuple[Row, ...]


def select_proposals(reading: JournalReading, session: TradeSession, now_us: int) -> Selection:
    """Return the proposals that a session decides about now."""
    account, mode = session.account, session.mode
    rows = reading.inbox.pending(account, mode, now_us, now_us - FORGOTTEN_AFTER_US, MOST_PROPOSALS)
    tried = reading.orders.attempts_in_last_minute(account, mode, now_us)
    most = session.caps.attempts_per_minute
    valid: list[Row] = []
    late: list[Row] = []
    for row in rows:
        used = tried + len(valid) + len(late)
        if row["is_late"]:
            if len(late) < max(1, int(most * shares.LATE_AT_ONCE)) and used < ceil(most * shares.LATE_ATTEMPTS):
                late.append(row)
        elif len(valid) < MOST_PROPOSALS and used < ceil(most * _share(row)):
            valid.append(row)
    return Selection(tuple(valid), tuple(late))


def is_urgent(row: Row) -> bool:
    """Return whether a proposal must not wait for the decisions about others: a person's, or one that closes."""
    return bool(row["actor_kind"] == ActorKind.PERSON.value or row["closes"])


def needs_place(row: Row) -> bool:
    """Return whether a proposal may become an agent's order that opens a position and waits for approval.

    A reduce-only order never opens a position, and neither does a sale without ``open_short``. The admission denies
    such orders if they cannot close anything.
    """
    never_opens = row["reduce_only"] or (row["action"] == Action.SELL.value and not row["open_short"])
    return bool(row["actor_kind"] == ActorKind.AGENT.value and not never_opens)


def describe_left(left: Sequence[PendingCount]) -> str:
    """Return a text that counts undecided proposals by proposer, or an empty text.

    ``left`` begins with the largest count.
    """
    texts = [f"{each.count:,} of {each.kind} {safe_line(each.name, 60)}" for each in left[:_MOST_NAMES]]
    if rest := left[_MOST_NAMES:]:
        texts.append(f"{sum(each.count for each in rest):,} of {len(rest):,} others")
    return ", ".join(texts)


def _share(row: Row) -> Fraction:
    return (shares.CLOSING_ATTEMPTS if row["closes"] else shares.OPENING_ATTEMPTS)[ActorKind(row["actor_kind"])]

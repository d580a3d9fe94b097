"""The proof of a stop, and the lines that state it. People rely on the last line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from kalshi_pipelines.execution.service.stopping.stop_settings import StopTarget

_END_IT: Final = "End the trading processes, or delete the trade key on the exchange's page."
_AGAIN: Final = "Run the command again, or delete the trade key on the exchange's page."
_LONGEST_LINE: Final = 600


@dataclass(frozen=True, slots=True)
class TargetStop:
    """The proof about one journal.

    Attributes:
        target: The journal and its folder.
        seq: The number of the engagement in the journal; None if the journal did not record it.
        is_in_file: Whether the emergency file has the engagement.
        problem: Why one of them does not have it.
        is_absent: Whether the journal does not exist.
        is_foreign: Whether the journal belongs to another environment, so that no session can use it.
        under_way: The number of orders that were sent before, have no known outcome, and may still arrive.
        unread: Why it is unknown whether orders are under way; empty if it is known, or if no session can send.
        is_needed: Whether the stop fails if this journal is not engaged.
        sessions: The sessions of this journal that were seen.
        has_running_session: Whether a session is registered whose process may still run.
    """

    target: StopTarget
    seq: int | None = None
    is_in_file: bool = False
    problem: str = ""
    is_absent: bool = False
    is_foreign: bool = False
    under_way: int = 0
    unread: str = ""
    is_needed: bool = True
    sessions: tuple[str, ...] = ()
    has_running_session: bool = False

    @property
    def is_engaged(self) -> bool:
        """Whether no session of this journal sends a new order.

        The emergency file alone is enough only if the journal has sessions, and all of them read this file.
        """
        is_used = self.has_running_session or not (self.is_absent or self.is_foreign)
        return self.seq is not None or (self.is_in_file and self.target.has_own_folder and is_used)

    def __str__(self) -> str:
        environment, journal = self.target.environment, f"journal {self.target.place}"
        if self.seq is not None:
            return f"{environment}, {journal} (event {self.seq})" + (f"; {self.problem}" if self.problem else "")
        if self.is_in_file:
            return f"{environment}, emergency file {self.target.emergency_file}, not in the {journal}: {self.problem}"
        return f"{environment}, {journal}: {self.problem}"


@dataclass(frozen=True, slots=True)
class StopReport:
    """The result of a stop.

    Attributes:
        level: 1 stops new orders; 2 also cancels all orders.
        targets: The proof about each journal.
        problems: Reasons why sessions may run that were not stopped.
        notes: Facts that do not make the stop fail.
        flat: The accounts in which it was proved that no order rests, with the round that proved it.
        canceled: The accounts whose orders were canceled without a proof.
        unflat: Reasons why orders may still rest.
    """

    level: int
    targets: tuple[TargetStop, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    flat: tuple[str, ...] = ()
    canceled: tuple[str, ...] = ()
    unflat: tuple[str, ...] = field(default=())

    @property
    def not_engaged(self) -> tuple[str, ...]:
        """Every reason why new orders may still be sent."""
        missed = [str(each) for each in self.targets if each.is_needed and not each.is_engaged]
        return (*missed, *self.problems)

    @property
    def engaged(self) -> tuple[TargetStop, ...]:
        """The journals whose sessions send no new order."""
        return tuple(each for each in self.targets if each.is_engaged)

    @property
    def sessions(self) -> tuple[str, ...]:
        """The sessions that were seen."""
        return tuple(dict.fromkeys(session for each in self.targets for session in each.sessions))

    @property
    def is_engaged(self) -> bool:
        """Whether the kill switch is engaged wherever it is needed, and in one journal at least."""
        return bool(self.engaged) and not self.not_engaged

    @property
    def under_way(self) -> int:
        """The number of orders that were sent before the engagement and may still arrive.

        A proof that no order rests includes these orders, because their order groups were triggered.
        """
        return 0 if self.flat and not self.unflat else sum(each.under_way for each in self.targets)

    @property
    def unread(self) -> tuple[str, ...]:
        """Every reason why it is unknown whether an order is under way.

        A proof that no order rests includes such orders, as in ``under_way``.
        """
        if self.flat and not self.unflat:
            return ()
        return tuple(f"journal {each.target.place}: {each.unread}" for each in self.targets if each.unread)

    @property
    def succeeded(self) -> bool:
        """Whether everything that was asked for is proved: engaged, and at level 2 also flat."""
        return self.is_engaged and not self.unflat and not self.under_way and not self.unread

    @property
    def last_line(self) -> str:
        """The sentence that tells what was proved. It begins with words in capitals."""
        if self.succeeded:
            return self._success()
        if self.is_engaged and not self.unflat:
            return one_line(self._under_way())
        if self.is_engaged:
            return one_line(f"ENGAGED, NOT FLAT: orders may still rest. {_listed(self.unflat)} {_AGAIN}")
        reasons = _listed(self.not_engaged or ("no journal was found here, and none is registered on this computer",))
        words = "NOT ENGAGED EVERYWHERE" if self.engaged else "NOT ENGAGED"
        if self.flat or self.canceled:
            done = _listed((*self.flat, *self.canceled))
            return one_line(
                f"{words}, ORDERS CANCELED: a running session can still send new orders. {reasons} Canceled in {done} "
                f"{_END_IT}"
            )
        if self.level > 1:
            return one_line(
                f"{words}, NOT FLAT: new orders can still be sent, and orders may still rest. {reasons} "
                f"{_listed(self.unflat)} {_END_IT}"
            )
        return one_line(f"{words}: new orders can still be sent. {reasons} {_END_IT}")

    def lines(self) -> Iterator[str]:
        """Yield every line of the report. The last line tells what was proved."""
        yield from map(one_line, self.notes)
        for each in self.targets:
            if each.is_engaged:
                yield one_line(f"Engaged: {each}")
            elif each.is_needed:
                yield one_line(f"NOT ENGAGED: {each}")
        yield from (one_line(f"NOT ENGAGED: {each}") for each in self.problems)
        yield from (one_line(f"Seen: {each}") for each in self.sessions)
        yield from (one_line(f"Flat: {each}") for each in self.flat)
        yield from (one_line(f"Canceled without proof: {each}") for each in self.canceled)
        yield from (one_line(f"NOT FLAT: {each}") for each in self.unflat)
        yield self.last_line

    def _under_way(self) -> str:
        """Return the last line for orders that were sent before and may still arrive."""
        proof = "Level 2 cancels them and proves it."
        if self.unread:
            return (
                "ENGAGED, ORDERS MAY BE UNDER WAY: no new order is sent, but orders sent before may still arrive at "
                f"the exchange, because a journal could not be read. {_listed(self.unread)} {proof}"
            )
        sent = _count(self.under_way, "order")
        return (
            f"ENGAGED, {sent.upper()} UNDER WAY: no new order is sent, but {sent} sent before may still arrive at the "
            f"exchange. {proof}"
        )

    def _success(self) -> str:
        where = f"{_count(len(self.engaged), 'journal')} ({_count(len(self.sessions), 'session')} seen)"
        if self.level > 1:
            return one_line(
                f"ENGAGED AND FLAT: no new order is sent in {where}, and no order rests in {', '.join(self.flat)}."
            )
        return f"ENGAGED: no new order is sent in {where}. Resting orders stay; level 2 cancels them."


def one_line(text: str, most: int = _LONGEST_LINE) -> str:
    """Return a text as one line that every terminal can show, shortened in the middle if it is too long."""
    plain = "".join(each if each.isprintable() else " " for each in text)
    return plain if len(plain) <= most else f"{plain[: most // 2]} ... {plain[-most // 2 :]}"


def _listed(reasons: tuple[str, ...]) -> str:
    return "; ".join(each.rstrip(".") for each in reasons[:3]) + "." if reasons else ""


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"

"""Differences between a day of trades and its witnesses, and the verdict about the day."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """The reason for a difference, or that something is missing."""

    NOTHING_TRADED = "nothing_traded"
    NOT_SERVED = "not_served"
    MISSING = "missing"
    EXPLAINED = "explained"


class Verdict(StrEnum):
    """The result of a check, as ``history_partitions.proof`` has it."""

    NOT_CHECKED = "not_checked"
    PROVED = "proved"
    EXPLAINED = "explained"
    MISSING = "missing"


@dataclass(frozen=True, order=True)
class Residual:
    """A difference between the lake and a witness.

    Attributes:
        ticker: The market; empty if the whole day differs.
        kind: The witness, and the minute or the value that differs.
        state: The reason, or that something is missing.
        expected: The value of the witness.
        found: The value of the lake.
        explanation: A sentence for people.
    """

    ticker: str
    kind: str
    state: State
    expected: str | None
    found: str | None
    explanation: str

    def __str__(self) -> str:
        name = f"{self.ticker} {self.kind}".strip()
        return f"{name}: expected {self.expected}, found {self.found} ({self.state.replace('_', ' ')})"


@dataclass(frozen=True)
class Proof:
    """The judgement of the witnesses about one UTC day of public trades.

    Attributes:
        day: The day.
        verdict: Whether the day is complete, complete but for explained differences, or lacks something.
        residuals: Every difference.
        figures: Numbers of compared minutes and volumes.
    """

    day: dt.date
    verdict: Verdict
    residuals: tuple[Residual, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[Residual, ...]:
        """The differences that nothing explains."""
        return tuple(each for each in self.residuals if each.state is State.MISSING)

    def __str__(self) -> str:
        text = f"public_trades {self.day}: {self.verdict.replace('_', ' ')}"
        if not self.residuals:
            return text
        return f"{text}, {len(self.missing)} missing of {len(self.residuals)} differences, first {self.residuals[0]}"


def verdict_of(residuals: Iterable[Residual], *, is_checked: bool) -> Verdict:
    """Return the verdict about a day. A day that no witness covers is not checked, unless something is missing."""
    states = {each.state for each in residuals}
    if State.MISSING in states:
        return Verdict.MISSING
    if not is_checked:
        return Verdict.NOT_CHECKED
    return Verdict.EXPLAINED if states & {State.NOT_SERVED, State.EXPLAINED} else Verdict.PROVED

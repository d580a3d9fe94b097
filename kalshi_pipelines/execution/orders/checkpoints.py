"""Named points between the steps of an order. Tests end the process exactly there."""

from collections.abc import Callable
from enum import StrEnum


class Checkpoint(StrEnum):
    """A point between two steps, passed right after the step in its name."""

    INPUTS_READ = "inputs_read"
    ADMITTED = "admitted"
    """The intent is committed with its reservation or its denial."""
    SENDING_COMMITTED = "sending_committed"
    ANSWERED = "answered"
    """The request was made, and its answer is not stored yet."""
    ANSWER_COMMITTED = "answer_committed"
    LEFTOVERS_MARKED = "leftovers_marked"
    """Orders that an earlier process left behind are recorded as abandoned or unknown."""
    FENCED = "fenced"
    FENCE_COMMITTED = "fence_committed"
    SWEPT = "swept"
    RESOLVED = "resolved"
    CANCELS_SENT = "cancels_sent"


PassCheckpoint = Callable[[Checkpoint], None]


def ignore_checkpoint(checkpoint: Checkpoint) -> None:
    """Do nothing. This is the default outside tests."""
    del checkpoint

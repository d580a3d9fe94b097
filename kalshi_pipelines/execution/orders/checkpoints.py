"""The points at which an order's journey can be interrupted, so that tests can end the process exactly there."""

from collections.abc import Callable
from enum import StrEnum


class Checkpoint(StrEnum):
    """A point between two acts; each is passed after the act it is named for."""

    INPUTS_READ = "inputs_read"
    ADMITTED = "admitted"
    """Intent and reservation, or denial, are committed."""
    SENDING_COMMITTED = "sending_committed"
    ANSWERED = "answered"
    """The one request was made; nothing of its answer is stored."""
    ANSWER_COMMITTED = "answer_committed"
    LEFTOVERS_MARKED = "leftovers_marked"
    """What an earlier process left behind is abandoned or unknown."""
    FENCED = "fenced"
    FENCE_COMMITTED = "fence_committed"
    SWEPT = "swept"
    RESOLVED = "resolved"
    CANCELS_SENT = "cancels_sent"


PassCheckpoint = Callable[[Checkpoint], None]


def ignore_checkpoint(checkpoint: Checkpoint) -> None:
    """Go on: what everybody but a test does."""
    del checkpoint

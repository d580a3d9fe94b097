"""Named checkpoints between the steps of an order, at which tests end the process."""

from collections.abc import Callable
from enum import StrEnum


class Checkpoint(StrEnum):
    """A checkpoint between two steps of an order. Its name states the step that was just completed."""

    INPUTS_READ = "inputs_read"
    ADMITTED = "admitted"
    """The checkpoint after an order's intent is committed with its reservation or denial."""
    SENDING_COMMITTED = "sending_committed"
    ANSWERED = "answered"
    """The checkpoint after the exchange answered a request and before the answer is stored."""
    ANSWER_COMMITTED = "answer_committed"
    LEFTOVERS_MARKED = "leftovers_marked"
    """The checkpoint after orders that an earlier process left behind are recorded as abandoned or unknown."""
    FENCED = "fenced"
    FENCE_COMMITTED = "fence_committed"
    SWEPT = "swept"
    RESOLVED = "resolved"
    CANCELS_SENT = "cancels_sent"


PassCheckpoint = Callable[[Checkpoint], None]


def ignore_checkpoint(checkpoint: Checkpoint) -> None:
    """Do nothing at a checkpoint. This is the default outside tests."""
    del checkpoint

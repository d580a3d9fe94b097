"""Errors of the journal."""

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.records import Intent


class JournalUnavailable(ExpectedError):
    """The journal cannot be read or written: it is locked, full, read-only, damaged or out of reach.

    Nothing was stored.
    """

    is_retryable = True


class JournalMissing(JournalUnavailable):
    """The file of a SQLite journal does not exist. Only ``migrate`` creates it."""

    is_retryable = False


class JournalRefused(ExpectedError):
    """The journal refused a change.

    ``rule`` names the constraint or guard that refused it, such as ``send_guard:kill``.
    """

    def __init__(self, rule: str, detail: str, remedy: str = "") -> None:
        super().__init__(f"The journal refused the change ({rule}): {detail}", remedy)
        self.rule = rule


class JournalOutdated(ExpectedError):
    """The journal has a different schema than this code needs, or the journal was never set up."""


class JournalOfAnotherEnvironment(ExpectedError):
    """The journal holds the orders of another environment than the configured one."""


class JournalRestored(ExpectedError):
    """The journal lacks anchored records: it was restored from a backup, truncated, rewritten or replaced."""


class AnchorsNotTrusted(ExpectedError):
    """The anchors of the journal are missing, or their file cannot be read or does not keep what is written."""


class JournalHasTwoPaths(ExpectedError):
    """The file of a SQLite journal has two hard links, or two processes use it by two paths."""


class AlreadyPlanned(ExpectedError):
    """An order for the same signal and with the same terms was planned earlier; ``intent`` is that stored order."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(f"The signal was planned before: intent {intent.intent_id} is already {intent.state}.")
        self.intent = intent


class IdempotencyConflict(ExpectedError):
    """An order for the same signal but with other terms was planned earlier; ``intent`` is that stored order."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(
            f"Intent {intent.intent_id} has the same idempotency key and other terms.",
            "Propose other terms as another signal.",
        )
        self.intent = intent

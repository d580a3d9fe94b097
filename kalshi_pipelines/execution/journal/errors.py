"""What can go wrong with the journal; each message says what to do next."""

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.journal.records import Intent


class JournalUnavailable(ExpectedError):
    """The journal can not be read or written: locked, full, read-only, damaged or not reachable. Nothing was stored."""

    is_retryable = True


class JournalRefused(ExpectedError):
    """The database refused a row. ``rule`` is the constraint or guard, such as ``send_guard:kill``."""

    def __init__(self, rule: str, detail: str, remedy: str = "") -> None:
        super().__init__(f"The journal refused the change ({rule}): {detail}", remedy)
        self.rule = rule


class JournalOutdated(ExpectedError):
    """The journal's schema is not the one this code needs, or it was never set up."""


class JournalOfAnotherEnvironment(ExpectedError):
    """The journal holds the orders of another environment."""


class JournalRestored(ExpectedError):
    """Anchors tell of records the journal does not have: it was restored from a backup, cut or exchanged."""


class AlreadyPlanned(ExpectedError):
    """The same signal was planned before with the same request; ``intent`` is what became of it."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(f"The signal was planned before: intent {intent.intent_id} is already {intent.state}.")
        self.intent = intent


class IdempotencyConflict(ExpectedError):
    """The same signal was planned before with another request; ``intent`` is the earlier one."""

    def __init__(self, intent: Intent) -> None:
        super().__init__(
            f"Intent {intent.intent_id} has the same idempotency key and other terms.",
            "Propose other terms as another signal.",
        )
        self.intent = intent

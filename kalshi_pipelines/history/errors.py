"""Errors of reading history. Each error states the problem and the remedy."""

from kalshi_pipelines.errors import ExpectedError


class HistoryInterrupted(ExpectedError):
    """A day could not be read to its end. The part that was read is kept, and the next run continues there."""

    is_retryable = True


class HistoryRefused(ExpectedError):
    """A day was not stored, because too many of its records cannot be stored, or because records changed meanwhile."""


class InvalidRange(ExpectedError, ValueError):
    """A range of days, or a name of a dataset, that cannot be read."""


class BackfillIncomplete(ExpectedError):
    """Some days of a backfill could not be read. The other days are stored."""

    is_retryable = True


class HistoryIncomplete(ExpectedError):
    """Witnesses say that days of history lack rows, or have wrong ones. The differences are recorded."""


class ReadingStopped(Exception):
    """Another thread asked the reading to stop."""

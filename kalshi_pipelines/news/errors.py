"""Errors of news runs and news commands."""

from kalshi_pipelines.errors import ExpectedError


class NewsFailed(ExpectedError):
    """A failed collection, or a command that cannot be done. The message gives the reason and the next step."""

"""What makes a news run fail, in one sentence with its remedy."""

from kalshi_pipelines.errors import ExpectedError


class NewsFailed(ExpectedError):
    """No news could be collected, or a command can not be done; the text says why and what to do next."""

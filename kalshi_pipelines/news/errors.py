"""What makes a news run fail, in one sentence with its remedy."""


class NewsFailed(Exception):
    """No news could be collected, or a command can not be done; the text says why and what to do next."""

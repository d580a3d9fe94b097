"""Generated news: stories about the exchange's catalogue, found by a search in Exa's format and in feeds.

Does not belong here: HTTP, and the faults of responses (``serving_news``).
"""

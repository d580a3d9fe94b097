"""Generated news: stories about the exchange's catalogue, served as search results in Exa's format and as feeds.

Does not belong here: HTTP, and faults of the responses (``serving_news``).
"""

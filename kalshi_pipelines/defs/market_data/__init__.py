"""Series, events, markets, quotes and orderbooks of the exchange as assets."""

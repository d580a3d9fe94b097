"""The inbox of trade proposals. Code in this package cannot reach the exchange."""

"""The inbox of trade proposals. Code in this room cannot reach the exchange."""

"""The inbox of trade proposals. Nothing here can reach the exchange."""

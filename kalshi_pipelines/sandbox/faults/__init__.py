"""Faults of the exchange: which requests go wrong, and the effect on them and on their responses."""

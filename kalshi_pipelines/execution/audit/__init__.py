"""The audit: how a record is written down, where the head of the chain is noted, and how all of it is verified.

Nothing here writes to the journal or asks the exchange.
"""

"""Randomized trials of the executor: real processes that are killed, real sockets, and a misbehaving exchange.

``plans`` draws a trial from its seed. ``life`` is the trading process of a trial. ``truth`` reads the exchange's own
log. ``invariants`` compares the journal with that log. ``runner`` runs trials one after another.
"""

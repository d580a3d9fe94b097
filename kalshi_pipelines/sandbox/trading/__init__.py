"""Trading side of the sandbox exchange: members, orders, books, matching, fees, positions and settlement.

Belongs here: every change of money and contracts, computed in exact integers and without input or output. The engine
turns each decision into events (``events``). Only events change the state (``state``), so the log of all events (the
truth log) determines the state. Does not belong here: HTTP, JSON, the catalogue, signatures and the clock.

Prices are centi-cents of the YES price (1e-4 dollar). Counts are centi-contracts (0.01 contract). Money is in
micro-dollars: price times count gives exactly micro-dollars.
"""

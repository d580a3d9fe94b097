"""The trading side of the exchange: members, orders, books, matching, fees, positions and settlement.

Belongs here: what happens to money and contracts, as pure code in exact integers. A decision (``engine``) becomes
events (``events``), and events are the only thing that changes the state (``state``), so that a log of them is the
truth. Does not belong here: HTTP and JSON, the catalogue, who signs a request, what time it is.

Prices are centi-cents of the YES price (1e-4 dollar), counts centi-contracts (0.01 contract), money micro-dollars:
price times count is exactly micro-dollars.
"""

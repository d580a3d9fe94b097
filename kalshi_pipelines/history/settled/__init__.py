"""Settled markets, read backwards: their whole records go to the dataset ``settled_markets`` of the lake.

The archive of the exchange has no filter by time. It is read series by series, the newest settlement first, until the
settlements are older than the wanted range. Markets that the warehouse has are left to upkeep, which archives them.
"""

"""Upkeep: what keeps a warehouse and a lake small over years.

Belongs here: decisions about what leaves the warehouse, when, and what proves that nothing is lost. Does not belong
here: how files of the lake are written (``lake``), and what Dagster keeps of its own runs (``defs/upkeep``).
"""

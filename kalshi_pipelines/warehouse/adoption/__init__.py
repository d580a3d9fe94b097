"""Conversion of a database of the older ``kalshi_research`` tool. Every row is kept, normalised or quarantined.

``shapes`` describes such a legacy database. ``values``, ``rows`` and ``conversions`` convert its rows. ``adopt`` does
this table by table and counts each row. The code here only reads the legacy database.
"""

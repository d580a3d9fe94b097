"""Conversion of a database of the older ``kalshi_research`` tool. Every row is kept, normalised or quarantined.

The module ``shapes`` describes such a legacy database. The modules ``values``, ``rows`` and ``conversions`` convert its
rows. The module ``adopt`` runs the conversion table by table and counts each row. The legacy database is only read.
"""

"""Taking over a database of the older ``kalshi_research`` tool: every row is kept, normalised or in quarantine.

``shapes`` knows what such a database looks like; ``values``, ``rows`` and ``conversions`` make rows of ours of its
rows; ``adopt`` does it table by table and accounts for each row. Nothing here changes the old database: it is read from
a copy.
"""

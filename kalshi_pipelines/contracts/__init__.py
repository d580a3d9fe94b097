"""What this project relies on of each vendor endpoint, what was learned of it, and what is different from both.

Belongs here: declarations, comparing an answer with them and with what was learned, recording and showing findings.
Does not belong here: delivering alerts (``alerts``), and what Dagster shows of it (``defs.contracts``).
"""

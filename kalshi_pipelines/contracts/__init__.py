"""Contracts with vendor endpoints: what this project relies on, and which differences the endpoints show.

Belongs here: declared contracts, learned baselines, comparing answers with both, recording and listing findings.
Does not belong here: delivering alerts (``alerts``), and the assets and checks that Dagster shows
(``defs.contracts``).
"""

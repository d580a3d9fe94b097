"""Verification of the journal: the audit chain, and everything that can be recomputed from the journal's rows.

Nothing here writes to the journal or calls the exchange. The journal room writes the audit records.
"""

"""Verification of the journal: its audit chain, and every figure that can be recomputed from the journal's rows.

Code in this package neither writes to the journal nor calls the exchange. ``execution/journal`` writes the audit
records.
"""

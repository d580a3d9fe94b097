"""The journal: the database that decides whether an order may be sent, and that records every order.

This package holds the journal's tables, guards, transactions and ledger. It neither reads the exchange nor decides
about proposals, and it imports no network code.
"""

"""The journal: the database that decides whether an order may be sent, and that records every order.

Its tables, guards, transactions and ledger are here. Reading the exchange, and decisions before a transaction begins,
belong elsewhere. This package imports no network code.
"""

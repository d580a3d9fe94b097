"""The journal: the database that decides whether an order may be sent, and remembers what became of it.

Its tables and guards, its transactions, the ledger of worst cases. What is read of the exchange, and what is decided
before a transaction begins, does not belong here. Nothing of the network may be imported.
"""

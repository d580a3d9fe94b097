"""Trading: the only package that can send orders, with every check that an order must pass first.

Packages from top to bottom::

    service                       command line and trading sessions
    kill                          kill switch and halt
    executor, reconciliation      sending orders, comparing the account with the journal
    gates                         checks of an order, a session and the vendor
    inbox, transport, audit       proposals, writes to the exchange, verification
    journal                       the database of every intent, order, fill and decision
    orders                        values and arithmetic

This file imports nothing, so that the inbox can be used without loading code that reaches the exchange.
Dagster code does not belong in this package.
"""

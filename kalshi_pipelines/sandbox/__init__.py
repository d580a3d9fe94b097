"""A local exchange that speaks the Kalshi trade API over HTTP.

Belongs here: every part of the simulated exchange, such as the catalogue, prices, orders, accounts, signatures, token
buckets, faults and recordings. Does not belong here: the client of the exchange, and code that the client and the
sandbox could share. The client and the sandbox are tested against each other, so they share no code and meet only over
HTTP.
"""

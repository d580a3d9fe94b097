"""A local exchange that speaks the Kalshi trade API over HTTP.

Belongs here: everything that answers in the exchange's place, such as the catalogue, prices, orders, accounts,
signatures, token buckets, faults and recordings. Does not belong here: the client of the exchange, and any code that
both could share. The client and the sandbox are tested against each other, so they share no code and meet only over
HTTP.
"""

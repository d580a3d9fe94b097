"""A local exchange that speaks the read side of the Kalshi trade API over HTTP.

Belongs here: everything that answers in the exchange's place (catalogue, prices, pagination, signatures, token buckets,
injected faults, replay of recordings). Does not belong here: the client that talks to an exchange, and anything the two
could share; they check each other, so they know each other only by the wire.
"""

"""The read-only client of the Kalshi exchange: hosts, signing, rate budget, transport, pages and wire records.

Belongs here: how requests to the exchange are made and how responses are decoded. Does not belong here: storing,
checking or trading on a response. Nothing in this package can send anything but a GET request.
"""

"""The read-only client of the Kalshi exchange: hosts, signing, rate budget, transport, pages and wire records.

Everything that knows how the exchange is spoken to belongs here. What is done with an answer (storing, checking,
trading) does not, and nothing in this room can send anything but a GET.
"""

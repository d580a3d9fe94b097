"""The read-only client of the Kalshi API: hosts, signing, rate budget, transport, endpoints and wire records."""

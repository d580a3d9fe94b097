"""Who may ask the exchange, for what, and how often: signatures, members and scopes, token buckets."""

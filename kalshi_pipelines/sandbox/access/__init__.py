"""Access to the exchange: signatures, members and their scopes, and token buckets."""

"""The only code that can write to the exchange: the allowed writes, the permit for an order, and the request itself."""

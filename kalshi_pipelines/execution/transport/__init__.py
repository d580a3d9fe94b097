"""The only code that can write to the exchange: the allowed writes, the permit of an order, and the single request."""

"""The only code that can write to the exchange: what may be written, with whose permission, and the one attempt."""

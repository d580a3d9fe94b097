"""Tests that run the executor against a model of the exchange, in random orders of events."""

"""Tests of what writes to the exchange."""

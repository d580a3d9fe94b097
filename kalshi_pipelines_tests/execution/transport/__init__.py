"""Tests of the code that writes to the exchange."""

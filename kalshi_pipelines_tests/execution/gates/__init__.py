"""Tests of the checks that an order and a session must pass."""

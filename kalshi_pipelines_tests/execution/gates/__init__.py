"""Tests of the checks of an order."""

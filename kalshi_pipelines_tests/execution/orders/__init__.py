"""Tests of the values and arithmetic of orders."""

"""Tests of the values and the arithmetic of orders."""

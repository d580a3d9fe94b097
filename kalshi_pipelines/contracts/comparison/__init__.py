"""Comparison of an answer with its contract and its baseline."""

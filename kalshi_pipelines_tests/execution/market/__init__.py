"""Tests of what is read of a market."""

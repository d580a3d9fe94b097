"""Tests of what an order is judged by."""

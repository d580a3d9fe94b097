"""Probe requests to vendors, and answers recorded as test fixtures."""

"""Requests to vendors, and answers recorded as test fixtures."""

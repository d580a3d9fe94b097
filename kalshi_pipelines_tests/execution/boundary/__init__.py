"""Tests that only the intended packages and processes can send orders, and that an agent can only propose orders."""

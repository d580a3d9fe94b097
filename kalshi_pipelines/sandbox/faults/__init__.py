"""Faults that an operator injects: the requests that go wrong, and the effects on them and on their responses."""

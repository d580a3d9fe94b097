"""Proof of completeness: witnesses that do not depend on how history was read."""

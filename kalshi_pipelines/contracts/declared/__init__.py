"""The contracts: one module a part of a vendor."""

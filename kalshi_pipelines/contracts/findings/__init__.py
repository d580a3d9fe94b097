"""Findings and baselines in the warehouse: how they are opened, changed, acknowledged and closed."""

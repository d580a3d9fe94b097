"""Schemas of the warehouse and the journal as assets, with their upgrade, checks and sensor."""

"""The values and the arithmetic of orders. Code in this package uses no database, no network and no clock."""

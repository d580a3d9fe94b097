"""The values and the arithmetic of orders. Nothing here uses a database, the network or a clock."""

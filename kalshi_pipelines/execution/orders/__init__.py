"""Values and arithmetic of orders: no database, no network, no clock."""

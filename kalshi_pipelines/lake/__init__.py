"""The Parquet lake: history exported from the warehouse, written atomically."""

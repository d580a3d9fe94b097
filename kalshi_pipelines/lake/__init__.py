"""The lake: Parquet files of history, exported from the warehouse. A file appears whole or not at all."""

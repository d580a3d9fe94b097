"""The SQL database: tables, engine, bulk writes and the migration runner."""

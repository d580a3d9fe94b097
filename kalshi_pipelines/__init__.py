"""Data and trading pipelines for Kalshi prediction markets, on Dagster."""

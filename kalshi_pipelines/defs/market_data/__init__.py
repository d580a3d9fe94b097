"""The exchange's series, events, markets, quotes and orderbooks in Dagster."""

"""News in Dagster."""

"""Contract checks in Dagster: vendor endpoints, checks, sensors and alerts."""

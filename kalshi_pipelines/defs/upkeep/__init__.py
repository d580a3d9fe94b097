"""The job that keeps warehouse, lake and Dagster's own storage small."""

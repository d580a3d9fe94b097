"""The schemas of the warehouse and the journal in Dagster."""

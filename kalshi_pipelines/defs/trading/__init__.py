"""Trading in Dagster: the inbox, the gated asset and the jobs around it."""

"""History of the exchange as partitioned assets, the job that backfills ranges of days, and the nightly upkeep."""

"""What Dagster shows: thin assets, jobs, schedules and resources over the rooms below."""

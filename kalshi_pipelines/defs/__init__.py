"""Dagster definitions: thin assets, checks, jobs, schedules and sensors. Domain logic belongs to other packages."""

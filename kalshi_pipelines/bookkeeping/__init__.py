"""What every ingest shares: run records, quarantine, record digests and provenance stamps."""

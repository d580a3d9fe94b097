"""Provenance of rows: the time at which a record was read, and the run that read it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Stamp:
    """The time at which a record was received, and the ingest run that received it."""

    recorded_us: int
    ingest_run_id: int


PROVENANCE: Final = ("unknown_fields", "first_seen_us", "recorded_us", "ingest_run_id")

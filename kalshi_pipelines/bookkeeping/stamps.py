"""When and by which run a row was read."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Stamp:
    """When and by which run a record was read: the provenance columns of its row."""

    recorded_us: int
    ingest_run_id: int


PROVENANCE: Final = ("unknown_fields", "first_seen_us", "recorded_us", "ingest_run_id")

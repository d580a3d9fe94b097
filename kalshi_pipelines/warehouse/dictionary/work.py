"""Meanings of the tables about our own work: runs, quarantine, budgets, and the adoption of old databases."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, TableText, texts
from kalshi_pipelines.warehouse.dictionary.shared import RUN

INGEST_RUNS: Final = TableText(
    "One run of one subject.",
    texts(
        ingest_run_id="Number of the run.",
        subject="What was read, such as markets or news_articles.",
        environment="Exchange that was read: sandbox, demo or prod; NULL if none was.",
        dagster_run_id="Run of Dagster; NULL if the run was started without Dagster.",
        status="running, succeeded or failed.",
        started_us="Beginning of the run.",
        finished_us="End of the run; NULL while it runs.",
        pages="Pages read.",
        records_read="Records read: those written, unchanged and rejected.",
        records_written="Records that were new or had changed.",
        records_unchanged="Records that were stored already.",
        records_rejected="Records that could not be stored. They are in `quarantine`.",
        history_rows="Rows added to history.",
        exported_us="Time at which the history rows of the run were in the lake; NULL if they are not all there.",
        error="Reason of a failure; NULL if none.",
    ),
)
WATERMARKS: Final = TableText(
    "How far a list that is read in parts was read.",
    texts(name="Name of the list.", position_us="Changes up to this time were read.") | {"ingest_run_id": RUN},
)
LIST_READS: Final = TableText(
    "The newest read of a list of the exchange.",
    texts(
        list_name="Name of the list.",
        subject="What the list has: series, events, markets or orderbooks.",
        records="Records of the newest read.",
        read_us="Time of the newest read.",
        problem="Why the newest read is not complete; NULL if nothing is known against it.",
        complete_records="Records of the newest complete read; NULL if there was none.",
        complete_us="Time of the newest complete read; NULL if there was none.",
        position="Where a read that takes several runs goes on; NULL if none is under way.",
    )
    | {"ingest_run_id": RUN},
)
QUARANTINE: Final = TableText(
    "A record that could not be stored.",
    texts(
        subject="What the record is, such as markets.",
        record_key="Key of the record, such as its ticker.",
        reason="Why it could not be stored.",
        payload=("The record as it was received.", "vendor", "JSON"),
        payload_digest="Digest of the record.",
        first_quarantined_us="Time of the first refusal.",
        quarantined_us="Time of the last refusal.",
        resolved_us="Time at which a later version of the record was stored; NULL while none is.",
    )
    | {"ingest_run_id": RUN},
)
RATE_BUDGETS: Final = TableText(
    "The state of a rate budget that all processes share.",
    texts(
        budget_key="Name of the budget: an exchange and a fingerprint of the API key.",
        bucket="Bucket of the exchange: read or balance.",
        theoretical_arrival_us="Time at which the bucket will be full again.",
    ),
)
ADOPTION_COUNTS: Final = TableText(
    "The rows of one table of an adopted database.",
    texts(
        table_name="Table of the old database.",
        rows_read="Rows read: those kept, normalised and quarantined.",
        rows_kept="Rows stored as they were.",
        rows_normalised="Rows stored with a changed value. `adoption_notes` has the old values.",
        rows_quarantined="Rows that could not be stored.",
    )
    | {"ingest_run_id": ColumnText("The run of the adoption, in `ingest_runs`.", OURS)},
)
ADOPTION_NOTES: Final = TableText(
    "A row of an adopted database that was changed, or kept although it is odd.",
    texts(
        table_name="Table of the old database.",
        row_key="Key of the row in the old database.",
        outcome="kept or normalised.",
        reason="What is odd, or what was changed.",
        original_values=("The old values.", "old database", "JSON"),
    )
    | {"ingest_run_id": ColumnText("The run of the adoption, in `ingest_runs`.", OURS)},
)
HISTORY_MOVES: Final = TableText(
    "A history table whose rows moved to the lake when the warehouse was upgraded.",
    texts(
        dataset="Dataset of the lake.",
        last_ingest_run_id="Last run whose rows are a part of the move.",
        rows_before="Rows before the move.",
        rows_removed="Rows that left the warehouse.",
        rows_kept="Rows that stayed; NULL while the move is not finished.",
        finished_us="End of the move; NULL while it is not finished.",
    ),
)
SUPERSEDED_FILES: Final = TableText(
    "A file of the older layout of the lake that was set aside.",
    texts(
        path="Path of the file in the lake.",
        rows="Rows of the file.",
        rows_not_in_warehouse="Rows that the warehouse did not have.",
        problem="Why the file could not be compared; NULL if it was.",
        set_aside_us="Time at which the file was set aside.",
    ),
)
VENDOR_DOCUMENTS: Final = TableText(
    "A document of a vendor that a person accepted.",
    texts(
        document="Name of the document.",
        sha256=("SHA-256 of its bytes.", "vendor", "hexadecimal text"),
        digest=("Summary of its parts, by which changes are named.", OURS, "JSON"),
        accepted_us="Time of the acceptance.",
    ),
)
VENDOR_SPENDING: Final = TableText(
    "A paid call to a vendor.",
    texts(
        spending_id="Number of the row.",
        vendor="Name of the vendor.",
        purpose="Budget that paid: probes or news.",
        ingest_run_id="The run that called, in `ingest_runs`; NULL if none.",
        at_us="Time of the call.",
        reserved_microdollars="Most that the call could cost, reserved before it.",
        spent_microdollars=("Cost of the call; NULL if the vendor did not say.", "vendor"),
    ),
)
_LAKE_PATH: Final = texts(
    dataset="Dataset of the lake.",
    partition_date=("Day of the file, in the time zone of the dataset.", OURS, "date"),
)
WAREHOUSE_IDENTITY: Final = TableText(
    "The identity of the warehouse. A lake belongs to one warehouse.",
    texts(
        warehouse_id=("Random id.", OURS, "hexadecimal text"),
        environment="Exchange of the data: sandbox, demo or prod; NULL until something was read.",
        created_us="Time at which the identity was made.",
    ),
)
LAKE_FILES: Final = TableText(
    "A file of the lake, and what it must contain.",
    _LAKE_PATH
    | texts(
        slot="`day`, or the hour from 00 to 23 of a day that is divided.",
        path="Path of the file in the lake.",
        status="publishing while the file is replaced, open while rows may come, or closed.",
        rows="Rows of the file.",
        bytes=("Size of the file.", OURS, "bytes"),
        first_us="Smallest time of a row; NULL without rows.",
        last_us="Largest time of a row; NULL without rows.",
        sums=("Exact sum of each numeric column, in units of its last digit.", OURS, "JSON"),
        sha256=("SHA-256 of the file; NULL before the first one.", OURS, "hexadecimal text"),
        next_sha256=("SHA-256 of the file that replaces it; NULL unless one does.", OURS, "hexadecimal text"),
        content_sha256=(
            "SHA-256 of the rows alone; NULL for a file of an older version that was not verified since.",
            OURS,
            "hexadecimal text",
        ),
        source="Where the newest rows are from.",
        published_us="Time of the last replacement.",
        verified_us="Time at which the file was last compared with this row; NULL if never.",
    ),
)
HISTORY_PARTITIONS: Final = TableText(
    "A day of a dataset that a backfill has begun to read.",
    texts(figures=("Figures of the last read and the last check.", OURS, "JSON")),
)
HISTORY_RESIDUALS: Final = TableText("A difference between a day of history and an independent witness.", {})
HISTORY_WINDOWS: Final = TableText("A window of a day that was read, or that the exchange did not serve.", {})
FEE_CHANGES: Final = TableText(
    "A version of a fee change of a series or an event.",
    {},
    source="GET /series/fee_changes or GET /events/fee_changes; present records of series and events",
)

"""Meanings of columns that many tables have."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, texts

RUN: Final = ColumnText("The run that wrote the row, in `ingest_runs`.", OURS)
RECORDED: Final = ColumnText("Time at which the row was last written.", OURS)
DIGEST: Final = ColumnText("Digest of the whole record. A record with the same digest is not stored again.", OURS)
UNKNOWN_FIELDS: Final = ColumnText(
    "Fields of the record that this package does not know, as JSON; NULL if there was none.", OURS, "JSON"
)
PLACEHOLDER: Final = ColumnText("True if another record names this one and its own record was not read yet.", OURS)
MISSING_SINCE: Final = ColumnText(
    "Time since which the exchange does not list the record any more; NULL while it does.", OURS
)
PROVENANCE: Final = {
    "unknown_fields": UNKNOWN_FIELDS,
    "first_seen_us": ColumnText("Time of the first read of the record.", OURS),
    "recorded_us": RECORDED,
    "ingest_run_id": RUN,
}
SHARD: Final = ColumnText("Shard of the exchange; NULL if the exchange did not say.", "exchange_index")
QUOTE: Final = texts(
    yes_bid_microdollars=("Highest price that somebody bids for YES; 0 without a bid.", "yes_bid_dollars"),
    yes_ask_microdollars=("Lowest price at which YES is offered; 0 or 1 dollar without an offer.", "yes_ask_dollars"),
    no_bid_microdollars=("Highest price that somebody bids for NO; 0 without a bid.", "no_bid_dollars"),
    no_ask_microdollars=("Lowest price at which NO is offered; 0 or 1 dollar without an offer.", "no_ask_dollars"),
    last_price_microdollars=(
        "YES price of the last trade; 0 before the first. NULL only in rows of an adopted database.",
        "last_price_dollars",
    ),
    yes_bid_size_centicontracts=(
        "Contracts bid at the YES bid; 0 without a bid. NULL only in rows of an adopted database.",
        "yes_bid_size_fp",
    ),
    yes_ask_size_centicontracts=(
        "Contracts offered at the YES ask; 0 without an offer. NULL only in rows of an adopted database.",
        "yes_ask_size_fp",
    ),
    volume_centicontracts=("Contracts traded since the market opened.", "volume_fp"),
    open_interest_centicontracts=("Contracts that are held: each is one YES and one NO.", "open_interest_fp"),
    volume_24h_centicontracts=("Contracts traded in the 24 hours before the read.", "volume_24h_fp"),
)

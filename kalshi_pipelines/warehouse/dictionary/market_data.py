"""Meanings of the tables of market data."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, TableText, texts
from kalshi_pipelines.warehouse.dictionary.shared import (
    DIGEST,
    MISSING_SINCE,
    PLACEHOLDER,
    PROVENANCE,
    QUOTE,
    RECORDED,
    RUN,
    SHARD,
    UNKNOWN_FIELDS,
)

_LISTING: Final = {
    "record_digest": DIGEST,
    "is_placeholder": PLACEHOLDER,
    "exchange_index": SHARD,
    "missing_since_us": MISSING_SINCE,
    **PROVENANCE,
}
_FEE_TYPES: Final = "`quadratic`, `quadratic_with_maker_fees`, `quadratic_with_combo_maker_fees` or `flat`"
SERIES: Final = TableText(
    "A series: a family of events that share rules, fees and settlement sources. In a placeholder all facts are NULL.",
    texts(
        ticker=("Ticker of the series, the first part of the tickers of its events and markets.", "ticker"),
        title=("Title of the series.", "title"),
        category=("Category, such as Sports or Climate and Weather.", "category"),
        categories=("All categories; NULL if the exchange sent none.", "categories", "JSON list"),
        tags=("Tags by which people find the series; NULL if the exchange sent none.", "tags", "JSON list"),
        frequency=("How often events of the series begin, such as daily or one_off.", "frequency"),
        fee_type=(f"Type of the fees: {_FEE_TYPES}. An event may override it.", "fee_type"),
        fee_multiplier=(
            "Factor of the fees at the time of the read; 0 means no fees. Its history is in `fee_changes`.",
            "fee_multiplier",
            "decimal number, as text",
        ),
        settlement_sources=(
            "Sources that decide the outcome, with their names and URLs.",
            "settlement_sources",
            "JSON",
        ),
        contract_url=("URL of the contract that was filed; NULL if none.", "contract_url"),
        contract_terms_url=("URL of the full terms of the contract; NULL if none.", "contract_terms_url"),
        additional_prohibitions=(
            "Who may not trade, beyond the general rules.",
            "additional_prohibitions",
            "JSON list",
        ),
        product_metadata=("Further facts for the exchange's own pages; NULL if none.", "product_metadata", "JSON"),
        volume_centicontracts=("Contracts traded in all events of the series; NULL if not sent.", "volume_fp"),
        last_updated_us=("Time of the last change at the exchange; NULL if never.", "last_updated_ts"),
    )
    | _LISTING,
    endpoint="GET /series",
)
EVENTS: Final = TableText(
    "An event: a question with one or more markets on its outcomes. In a placeholder all facts are NULL.",
    texts(
        event_ticker=("Ticker of the event, the first part of the tickers of its markets.", "event_ticker"),
        series_ticker=("Series of the event; NULL in a placeholder.", "series_ticker"),
        title=("The question.", "title"),
        sub_title=("Addition to the title, such as the date.", "sub_title"),
        category=(
            "Category of the event; NULL if not sent. The category of its series is kept up to date.",
            "category",
        ),
        collateral_return_type=(
            "How collateral of opposite positions is returned: MECNET, DIRECNET or empty.",
            "collateral_return_type",
        ),
        mutually_exclusive=("True if at most one market of the event can settle as yes.", "mutually_exclusive"),
        strike_date_us=("Time that the question is about; NULL if it is about a period or none.", "strike_date"),
        strike_period=("Period that the question is about, as text; NULL if none.", "strike_period"),
        fee_type_override=(
            "Type of the fees that replaces the type of the series; NULL without an override.",
            "fee_type_override",
        ),
        fee_multiplier_override=(
            "Factor of the fees that replaces the factor of the series; NULL without an override.",
            "fee_multiplier_override",
            "decimal number, as text",
        ),
        settlement_sources=(
            "Sources that decide the outcome; NULL if those of the series.",
            "settlement_sources",
            "JSON",
        ),
        product_metadata=("Further facts for the exchange's own pages; NULL if none.", "product_metadata", "JSON"),
        last_updated_us=("Time of the last change at the exchange; NULL if never.", "last_updated_ts"),
        listed_us=("Time at which a list of the exchange last had the event; NULL if none had it.", OURS),
        last_settlement_us=("Newest settlement of the markets that have left the warehouse; NULL if none left.", OURS),
    )
    | _LISTING,
    endpoint="GET /events",
)
MARKETS: Final = TableText(
    "A market: one outcome of an event that can be traded, with its facts and rules but without its quote. "
    "In a placeholder all facts are NULL.",
    texts(
        ticker=("Ticker of the market.", "ticker"),
        facts_digest=("Digest of the record without its quote; NULL in a placeholder.", OURS),
        event_ticker=("Event of the market.", "event_ticker"),
        market_type=("`binary`, or `scalar` if a contract can pay between 0 and 1 dollar.", "market_type"),
        status=(
            "Stage of life: initialized, inactive, active, closed, determined, disputed, amended or finalized.",
            "status",
        ),
        result=("Outcome: yes, no, scalar, or empty before it is known.", "result"),
        created_time_us=("Time at which the exchange made the market.", "created_time"),
        updated_time_us=("Time of the last change of the record at the exchange.", "updated_time"),
        open_time_us=("Beginning of trading.", "open_time"),
        close_time_us=("End of trading. An early close moves it.", "close_time"),
        latest_expiration_time_us=("Latest time at which the outcome is decided.", "latest_expiration_time"),
        expiration_time_us=(
            "Time at which the outcome is decided, as an older field; NULL if not sent.",
            "expiration_time",
        ),
        expected_expiration_time_us=(
            "Time at which the exchange expects the outcome; NULL if not sent.",
            "expected_expiration_time",
        ),
        occurrence_time_us=("Time of the event in the world; NULL if not sent.", "occurrence_datetime"),
        settlement_time_us=("Time of the settlement; NULL before it.", "settlement_ts"),
        fee_waiver_expiration_time_us=(
            "End of a time without fees; NULL if there is none.",
            "fee_waiver_expiration_time",
        ),
        settlement_timer_seconds=(
            "Wait between the decision of the outcome and the payment.",
            "settlement_timer_seconds",
        ),
        notional_value_microdollars=("Payment for one winning contract.", "notional_value_dollars"),
        settlement_value_microdollars=(
            "Payment for one YES contract at settlement; NULL before it.",
            "settlement_value_dollars",
        ),
        settlement_bounds_type=(
            "Bounds of a scalar settlement: default or floor; NULL if not sent.",
            "settlement_bounds_type",
        ),
        settlement_floor_microdollars=(
            "Least payment for one YES contract; NULL without a floor.",
            "settlement_floor_dollars",
        ),
        can_close_early=("True if trading can end before the close time.", "can_close_early"),
        is_provisional=(
            "True if the exchange may remove the market when nobody trades it; NULL if not sent.",
            "is_provisional",
        ),
        exchange_index=("Shard of the exchange; NULL if not sent.", "exchange_index"),
        price_level_structure=("Name of the price steps, such as linear_cent or deci_cent.", "price_level_structure"),
        strike_type=(
            "How the value is compared with the strikes, such as greater or between; NULL if none.",
            "strike_type",
        ),
        floor_strike=("Lower strike; NULL if none.", "floor_strike", "decimal number, as text"),
        cap_strike=("Upper strike; NULL if none.", "cap_strike", "decimal number, as text"),
        functional_strike=("Strike as a formula; NULL if none.", "functional_strike"),
        custom_strike=("Strike in a form of its own, such as the team; NULL if none.", "custom_strike", "JSON"),
        mve_collection_ticker=("Collection of a combo; NULL if the market is no combo.", "mve_collection_ticker"),
        mve_selected_legs=("Legs of a combo; NULL if the market is no combo.", "mve_selected_legs", "JSON list"),
        primary_participant_key=(
            "Key of the team or person that YES is about; NULL if none.",
            "primary_participant_key",
        ),
        title=("Title, an older field; NULL if not sent.", "title"),
        subtitle=("Addition to the title, an older field; NULL if not sent.", "subtitle"),
        yes_sub_title=("Short name of the YES side.", "yes_sub_title"),
        no_sub_title=("Short name of the NO side.", "no_sub_title"),
        expiration_value=("Value that decided the outcome, as text; empty before it is known.", "expiration_value"),
        rules_primary=("Rules that decide the outcome.", "rules_primary"),
        rules_secondary_digest=("Key of the further rules in `rule_texts`.", "rules_secondary"),
        early_close_condition_digest=(
            "Key of the condition of an early close in `rule_texts`; NULL if there is none.",
            "early_close_condition",
        ),
        price_ranges_digest=("Key of the price steps, as JSON, in `rule_texts`.", "price_ranges"),
    )
    | {"is_placeholder": PLACEHOLDER, "missing_since_us": MISSING_SINCE, **PROVENANCE},
    endpoint="GET /markets",
)
RULE_TEXTS: Final = TableText(
    "A text that many markets share, stored once.",
    texts(
        text_digest="First 16 bytes of the SHA-256 of the UTF-8 text. `markets` refers to it.",
        text=(
            "The text: further rules, the condition of an early close, or price steps as JSON.",
            "`rules_secondary`, `early_close_condition` or `price_ranges` of GET /markets",
        ),
    ),
)
_OBSERVED: Final = ColumnText("Time at which we read it. The exchange sends no time of its own.", OURS)
_TICKER: Final = ColumnText("Market.", "ticker")
QUOTES: Final = TableText(
    "The newest quote of a market. The row is written when the record of the market changed.",
    {"ticker": _TICKER, "record_digest": DIGEST}
    | QUOTE
    | texts(
        previous_yes_bid_microdollars=("YES bid of the day before; 0 without a bid.", "previous_yes_bid_dollars"),
        previous_yes_ask_microdollars=(
            "YES ask of the day before; 0 or 1 dollar without one.",
            "previous_yes_ask_dollars",
        ),
        previous_price_microdollars=(
            "Last price of the day before; 0 before the first trade.",
            "previous_price_dollars",
        ),
    )
    | {"observed_us": _OBSERVED, "ingest_run_id": RUN},
    endpoint="GET /markets",
)
PRICE_SNAPSHOTS: Final = TableText(
    "A changed quote of a market, on its way to the dataset `price_history`.",
    {
        "price_snapshot_id": ColumnText("Number of the row.", OURS),
        "ticker": _TICKER,
        "observed_us": _OBSERVED,
        "ingest_run_id": RUN,
    }
    | QUOTE,
    endpoint="GET /markets",
)
_BOOK: Final = {
    name: text
    for side in ("yes", "no")
    for name, text in texts(
        **{
            f"best_{side}_bid_microdollars": (
                f"Highest price bid for {side.upper()}; NULL without a bid.",
                f"{side}_dollars",
            ),
            f"best_{side}_bid_size_centicontracts": (
                f"Contracts bid at the highest {side.upper()} price; NULL without a bid.",
                f"{side}_dollars",
            ),
            f"{side}_depth_centicontracts": (f"Contracts bid for {side.upper()} at all prices.", f"{side}_dollars"),
            f"{side}_levels": (
                f"All bids for {side.upper()}, best last: [price, contracts].",
                f"{side}_dollars",
                "JSON of millionths of a dollar and hundredths of a contract",
            ),
        }
    ).items()
}
_BOOK_ENDPOINT: Final = "GET /markets/orderbooks"
ORDERBOOKS: Final = TableText(
    "The newest orderbook of a market. It has bids only: the best YES ask is 1 dollar minus the best NO bid.",
    {"ticker": _TICKER, "record_digest": DIGEST, "observed_us": _OBSERVED, "ingest_run_id": RUN}
    | _BOOK
    | {"unknown_fields": UNKNOWN_FIELDS},
    endpoint=_BOOK_ENDPOINT,
)
ORDERBOOK_SNAPSHOTS: Final = TableText(
    "A changed orderbook of a market, on its way to the dataset `orderbook_levels`.",
    {"orderbook_snapshot_id": ColumnText("Number of the row.", OURS), **ORDERBOOKS.columns},
    endpoint=_BOOK_ENDPOINT,
)
SETTLEMENTS: Final = TableText(
    "The outcome of a settled market.",
    texts(
        ticker=("Market.", "ticker"),
        event_ticker=("Event of the market.", "event_ticker"),
        settled_us=("Time of the settlement.", "settlement_ts"),
        result=("Outcome: yes, no, scalar or void.", "result"),
        final_yes_price_microdollars=(
            "YES price of the last trade; NULL if the market was never traded.",
            "last_price_dollars",
        ),
        final_no_price_microdollars=(
            "1 dollar minus the YES price of the last trade; NULL if the market was never traded.",
            "last_price_dollars",
        ),
        yes_payout_microdollars=(
            "Payment for one YES contract; NULL if not known. It follows the settlement value, not the result.",
            "settlement_value_dollars",
        ),
        no_payout_microdollars=(
            "Payment for one NO contract: 1 dollar minus the YES payout; NULL if not known.",
            "settlement_value_dollars",
        ),
        archived_day=(
            "Day of the dataset `settled_markets` that has the market; NULL if none has.",
            OURS,
            "days since 1970",
        ),
        archived_us=("Version of the record that the lake has: its `recorded_time`; NULL if it has none.", OURS),
    )
    | {"recorded_us": RECORDED, "ingest_run_id": RUN},
    endpoint="GET /markets",
)

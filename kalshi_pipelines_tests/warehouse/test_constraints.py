"""SQLite and Postgres themselves refuse illegal rows from every kind of statement."""

import shutil
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, Final

import pytest
import sqlalchemy as sa

from kalshi_pipelines.kalshi.rate_budget import Bucket
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables.columns import Flag, Integer, Real
from kalshi_pipelines_tests.support.postgres import Cluster
from kalshi_pipelines_tests.support.warehouse.refusals import ConstraintRefusal, classify_refusal, constraint_name
from kalshi_pipelines_tests.support.warehouse.rows import LEGAL, numbered

Values = dict[str, Any]

#: Each parent table has this number of rows, so that new legal children find parents in every table.
_THERE = 3
_NEW = (_THERE, _THERE + 1)
_PARENTS = {key.column.table for table in LEGAL for key in table.foreign_keys}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def filled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Return a warehouse at head with a legal row in every table, and more rows in tables that others refer to."""
    if request.param == "sqlite":
        path = tmp_path_factory.mktemp("constraints") / "warehouse.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield from _fill_warehouse(f"sqlite:///{path}")
        return
    cluster: Cluster = request.getfixturevalue("postgres_cluster")
    with cluster.database(request.getfixturevalue("migrated_database")) as name:
        yield from _fill_warehouse(cluster.url(name))


def _fill_warehouse(url: str) -> Iterator[sa.Engine]:
    engine = open_engine(url)
    with writing(engine) as connection:
        for table in LEGAL:
            for number in range(_THERE if table in _PARENTS else 1):
                connection.execute(sa.insert(table), numbered(table, number))
    yield engine
    engine.dispose()


@pytest.fixture
def connection(filled: sa.Engine) -> Iterator[sa.Connection]:
    """Return a connection whose transaction is rolled back after the test."""
    with filled.connect().execution_options(kalshi_writes=True) as connection:
        yield connection


def new_row(table: sa.Table, number: int = 0) -> Values:
    """Return a legal row that is not stored yet."""
    if table in _PARENTS:
        return numbered(table, _NEW[number])
    return numbered(table, number + 1)


# Statements ---------------------------------------------------------------------------------------------------------


def run(connection: sa.Connection, statement: str, values: tuple[Any, ...]) -> None:
    """Run a statement as another program would send it, without SQLAlchemy's types."""
    connection.exec_driver_sql(
        statement.replace("?", "%s") if connection.dialect.name == "postgresql" else statement, values
    )


def insert(connection: sa.Connection, table: sa.Table, row: Values, verb: str = "INSERT", more: str = "") -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    run(connection, f"{verb} INTO {table.name} ({names}) VALUES ({marks}){more}", tuple(row.values()))


def update(connection: sa.Connection, table: sa.Table, changes: Values, verb: str = "UPDATE") -> None:
    where, key = _key_of_stored_row(table)
    run(connection, f"{verb} {table.name} SET {_set(changes)} WHERE {where}", (*changes.values(), *key))


def upsert(connection: sa.Connection, table: sa.Table, changes: Values) -> None:
    stored = numbered(table, 0)
    key = ", ".join(column.name for column in table.primary_key)
    names, marks = ", ".join(stored), ", ".join("?" * len(stored))
    run(
        connection,
        f"INSERT INTO {table.name} ({names}) VALUES ({marks}) ON CONFLICT ({key}) DO UPDATE SET {_set(changes)}",
        (*stored.values(), *changes.values()),
    )


def insert_with_a_legal_row(connection: sa.Connection, table: sa.Table, row: Values, *, legal_first: bool) -> None:
    legal = {name: new_row(table, 1).get(name) for name in row}
    both = [legal, row] if legal_first else [row, legal]
    marks = ", ".join("?" * len(row))
    run(
        connection,
        f"INSERT INTO {table.name} ({', '.join(row)}) VALUES ({marks}), ({marks})",
        tuple(value for one in both for value in one.values()),
    )


def _set(changes: Values) -> str:
    return ", ".join(f"{name} = ?" for name in changes)


def _key_of_stored_row(table: sa.Table) -> tuple[str, tuple[Any, ...]]:
    names = [column.name for column in table.primary_key]
    stored = numbered(table, 0)
    return " AND ".join(f"{name} = ?" for name in names), tuple(stored[name] for name in names)


Statement = Callable[[sa.Connection, sa.Table, Values], None]

#: Statements that try to write the given values into a table whose other rows are legal.
STATEMENTS: Final[dict[str, Statement]] = {
    "INSERT": lambda connection, table, values: insert(connection, table, new_row(table) | values),
    "INSERT after a legal row": lambda connection, table, values: insert_with_a_legal_row(
        connection, table, new_row(table) | values, legal_first=True
    ),
    "INSERT before a legal row": lambda connection, table, values: insert_with_a_legal_row(
        connection, table, new_row(table) | values, legal_first=False
    ),
    "UPDATE": update,
    "ON CONFLICT DO UPDATE": upsert,
}
SQLITE_STATEMENTS: Final[dict[str, Statement]] = {
    "INSERT OR REPLACE of a new row": lambda connection, table, values: insert(
        connection, table, new_row(table) | values, "INSERT OR REPLACE"
    ),
    "INSERT OR REPLACE of a row that is there": lambda connection, table, values: insert(
        connection, table, numbered(table, 0) | values, "INSERT OR REPLACE"
    ),
    "UPDATE OR REPLACE": lambda connection, table, values: update(connection, table, values, "UPDATE OR REPLACE"),
}
#: Statements that skip an illegal row without an error.
SQLITE_SILENT_STATEMENTS: Final[dict[str, Statement]] = {
    "INSERT OR IGNORE": lambda connection, table, values: insert(
        connection, table, new_row(table) | values, "INSERT OR IGNORE"
    ),
    "UPDATE OR IGNORE": lambda connection, table, values: update(connection, table, values, "UPDATE OR IGNORE"),
}


def stored(connection: sa.Connection, table: sa.Table) -> list[sa.Row[Any]]:
    return sorted(connection.execute(sa.select(table)).all(), key=repr)


def catch_refusal(connection: sa.Connection, statement: Callable[[], None]) -> sa.exc.DBAPIError | None:
    """Run a statement, and return the error of the database or None. The transaction stays usable."""
    savepoint = connection.begin_nested() if connection.dialect.name == "postgresql" else None
    try:
        statement()
    except sa.exc.DBAPIError as error:
        if savepoint:
            savepoint.rollback()
        return error
    return None


def assert_no_statement_stores(
    connection: sa.Connection, table: sa.Table, values: Values, expected: set[ConstraintRefusal]
) -> None:
    """Check that every kind of statement is refused for the expected reason and leaves the table unchanged."""
    sqlite = connection.dialect.name == "sqlite"
    before = stored(connection, table)
    for name, statement in (STATEMENTS | SQLITE_STATEMENTS if sqlite else STATEMENTS).items():
        error = catch_refusal(connection, partial(statement, connection, table, values))
        assert error is not None, f"{name} stored {values} in {table.name}"
        assert classify_refusal(error) in expected, f"{name} of {values} into {table.name}"
        assert stored(connection, table) == before, f"{name} left something of {values} in {table.name}"
    for name, statement in SQLITE_SILENT_STATEMENTS.items() if sqlite else ():
        catch_refusal(connection, partial(statement, connection, table, values))
        assert stored(connection, table) == before, f"{name} stored {values} in {table.name}"


# CHECK constraints --------------------------------------------------------------------------------------------------


def below_zero(table: str, *columns: str) -> dict[str, list[Values]]:
    return {f"ck_{table}_{column}": [{column: -1}] for column in columns}


def no_price(table: str, *columns: str) -> dict[str, list[Values]]:
    return {f"ck_{table}_{column}": [{column: -1}, {column: 1_000_001}] for column in columns}


def no_flag(table: str, *columns: str) -> dict[str, list[Values]]:
    return {f"ck_{table}_{column}": [{column: 2}, {column: -1}] for column in columns}


def no_array(table: str, *columns: str) -> dict[str, list[Values]]:
    texts = ("{}", '"Toronto"', "1", "null")
    return {f"ck_{table}_{column}": [{column: text} for text in texts] for column in columns}


def no_object(table: str, *columns: str) -> dict[str, list[Values]]:
    texts = ("[]", '"Toronto"', "1", "null")
    return {f"ck_{table}_{column}": [{column: text} for text in texts] for column in columns}


def longer_than(table: str, characters: int, *columns: str) -> dict[str, list[Values]]:
    return {f"ck_{table}_{column}_length": [{column: "ü" * (characters + 1)}] for column in columns}


def empty(table: str, *columns: str) -> dict[str, list[Values]]:
    return {f"ck_{table}_{column}": [{column: ""}] for column in columns}


def other_words(table: str, column: str, *legal: str, also: Values | None = None) -> dict[str, list[Values]]:
    """Return values outside a vocabulary. ``also`` sets other columns, so that no other CHECK is broken."""
    changed = [change for word in legal for change in (word.upper(), f" {word}", f"{word} ", word[:1])]
    words = [*changed, "/".join(legal), "", "hold", "long", "maybe", 1, b"yes"]
    return {f"ck_{table}_{column}": [{column: word} | (also or {}) for word in words if word not in legal]}


def no_relevance(table: str) -> dict[str, list[Values]]:
    method = {"relevance_method": "overlap 1"}
    return {
        f"ck_{table}_relevance": [{"relevance": value} | method for value in (-0.01, 1.01, float("inf"))],
        f"ck_{table}_relevance_of_a_method": [{"relevance": 0.5}, method],
        f"ck_{table}_rank": [{"rank": 0}],
    }


def illegal_books(table: str) -> dict[str, list[Values]]:
    return {
        **no_price(table, "best_yes_bid_microdollars"),
        f"ck_{table}_best_no_bid_microdollars": [
            {"best_no_bid_microdollars": price, "best_no_bid_size_centicontracts": 1} for price in (-1, 1_000_001)
        ],
        **below_zero(table, "best_yes_bid_size_centicontracts", "yes_depth_centicontracts"),
        **below_zero(table, "no_depth_centicontracts"),
        f"ck_{table}_best_no_bid_size_centicontracts": [
            {"best_no_bid_microdollars": 1, "best_no_bid_size_centicontracts": -1}
        ],
        f"ck_{table}_best_yes_bid_has_a_size": [
            {"best_yes_bid_size_centicontracts": None},
            {"best_yes_bid_microdollars": None},
        ],
        f"ck_{table}_best_no_bid_has_a_size": [
            {"best_no_bid_size_centicontracts": 1},
            {"best_no_bid_microdollars": 1},
        ],
    }


LEGACY = (
    "events",
    "markets",
    "price_snapshots",
    "settlements",
    "positions",
    "trades",
    "portfolio_settlements",
    "tracked_items",
    "news_articles",
    "news_article_markets",
    "news_article_events",
    "news_sentiments",
)
SUBJECTS = ("series", "events", "markets", "orderbooks")
FEES = ("quadratic", "quadratic_with_maker_fees", "quadratic_with_combo_maker_fees", "flat")
STATUSES = ("initialized", "inactive", "active", "closed", "determined", "disputed", "amended", "finalized")
RESULTS = ("yes", "no", "scalar", "void")
OUTCOMES = ("checked", "empty", "refused", "maintenance", "unreachable")
ACKNOWLEDGED: Final[Values] = {"acknowledged_us": 1, "acknowledged_by": "Ann", "acknowledged_why": "because"}

#: The values of a move of history that goes on.
UNFINISHED: Values = {"rows_kept": None, "finished_us": None}
#: Values that each CHECK must refuse, by the name of the CHECK. They are written out and not derived from the tables,
#: so that a vocabulary or range that grows by mistake fails here.
CHECKS: Final[dict[str, list[Values]]] = {
    **other_words("ingest_runs", "subject", *SUBJECTS, "adoption"),
    **other_words("ingest_runs", "environment", "sandbox", "demo", "prod"),
    "ck_ingest_runs_environment_known": [{"environment": None}, {"subject": "adoption"}],
    **other_words("ingest_runs", "status", "running", "succeeded", "failed", also={"finished_us": 1}),
    "ck_ingest_runs_finished": [{"finished_us": 1}, {"status": "failed"}],
    **below_zero("ingest_runs", "pages", "history_rows"),
    "ck_ingest_runs_records_read": [{"records_read": -1, "records_written": -1}],
    "ck_ingest_runs_records_written": [{"records_written": -1, "records_unchanged": 1}],
    "ck_ingest_runs_records_unchanged": [{"records_unchanged": -1, "records_rejected": 1}],
    "ck_ingest_runs_records_rejected": [{"records_rejected": -1, "records_written": 1}],
    "ck_ingest_runs_every_record_accounted_for": [{"records_read": 1}, {"records_unchanged": 1}],
    **other_words("list_reads", "subject", "series", "events", "markets", "orderbooks"),
    **below_zero("list_reads", "records", "complete_records"),
    "ck_list_reads_list_name": [{"list_name": ""}],
    "ck_list_reads_problem": [{"problem": ""}],
    "ck_list_reads_complete_read_has_a_time": [{"complete_us": None}, {"complete_records": None}],
    **other_words("quarantine", "subject", *SUBJECTS, *(f"kalshi_research.{table}" for table in LEGACY)),
    **other_words("rate_budgets", "bucket", "read", "balance"),
    **no_flag("series", "is_placeholder"),
    **other_words("series", "fee_type", *FEES),
    **below_zero("series", "volume_centicontracts", "exchange_index"),
    "ck_series_placeholder_has_no_record": [{"is_placeholder": True}, {"record_digest": None}],
    "ck_series_complete_unless_placeholder": [
        {name: None} for name in ("title", "category", "frequency", "fee_type", "fee_multiplier")
    ],
    **no_flag("events", "is_placeholder", "mutually_exclusive"),
    **other_words("events", "fee_type_override", *FEES),
    **below_zero("events", "exchange_index"),
    "ck_events_placeholder_has_no_record": [{"is_placeholder": True}, {"record_digest": None}],
    "ck_events_complete_unless_placeholder": [
        {name: None} for name in ("series_ticker", "title", "sub_title", "collateral_return_type", "mutually_exclusive")
    ],
    **other_words("markets", "market_type", "binary", "scalar"),
    **other_words("markets", "status", *STATUSES),
    **other_words("markets", "result", "", "yes", "no", "scalar"),
    **other_words("markets", "settlement_bounds_type", "default", "floor"),
    **no_price("quotes", "yes_bid_microdollars", "yes_ask_microdollars", "no_bid_microdollars", "no_ask_microdollars"),
    **no_price("quotes", "last_price_microdollars", "previous_price_microdollars"),
    **no_price("quotes", "previous_yes_bid_microdollars", "previous_yes_ask_microdollars"),
    **below_zero("quotes", "yes_bid_size_centicontracts", "yes_ask_size_centicontracts", "volume_centicontracts"),
    **below_zero("quotes", "open_interest_centicontracts", "volume_24h_centicontracts"),
    **no_price("markets", "settlement_floor_microdollars"),
    **below_zero("markets", "settlement_timer_seconds"),
    **below_zero("markets", "exchange_index", "notional_value_microdollars", "settlement_value_microdollars"),
    **no_flag("markets", "can_close_early", "is_provisional", "is_placeholder"),
    "ck_markets_placeholder_has_no_record": [{"is_placeholder": True}, {"facts_digest": None}],
    "ck_markets_complete_unless_placeholder": [{name: None} for name in tables.MARKET_FACTS],
    **no_price("price_snapshots", "yes_bid_microdollars", "yes_ask_microdollars", "no_bid_microdollars"),
    **no_price("price_snapshots", "no_ask_microdollars", "last_price_microdollars"),
    **below_zero("price_snapshots", "yes_bid_size_centicontracts", "yes_ask_size_centicontracts"),
    **below_zero("price_snapshots", "volume_centicontracts", "open_interest_centicontracts"),
    **below_zero("price_snapshots", "volume_24h_centicontracts"),
    **illegal_books("orderbooks"),
    **illegal_books("orderbook_snapshots"),
    **below_zero("balances", "subaccount", "exchange_index"),
    **other_words("positions", "side", "yes", "no"),
    **no_price("positions", "average_cost_microdollars", "current_value_microdollars"),
    **below_zero("positions", "subaccount", "exchange_index", "quantity_centicontracts", "fees_paid_microdollars"),
    **below_zero("positions", "total_traded_microdollars", "market_exposure_microdollars"),
    **empty("trades", "fill_id"),
    **other_words("trades", "side", "yes", "no", also={"outcome_side": "no", "book_side": "ask"}),
    **other_words("trades", "action", "buy", "sell", also={"outcome_side": "no", "book_side": "ask"}),
    **other_words("trades", "outcome_side", "yes", "no", also={"action": "sell", "book_side": "ask"}),
    **other_words("trades", "book_side", "bid", "ask", also={"action": "sell", "outcome_side": "no"}),
    "ck_trades_direction": [
        {"side": "no"},
        {"action": "sell"},
        {"side": "no", "action": "sell", "outcome_side": "no", "book_side": "ask"},
    ],
    "ck_trades_bid_is_yes": [
        {"book_side": "ask"},
        {"action": "sell", "outcome_side": "no"},
    ],
    "ck_trades_quantity_centicontracts": [{"quantity_centicontracts": 0}, {"quantity_centicontracts": -1}],
    "ck_trades_yes_price_microdollars": [
        {"yes_price_microdollars": -1, "no_price_microdollars": 1_000_001},
        {"yes_price_microdollars": 1_000_001, "no_price_microdollars": -1},
    ],
    "ck_trades_no_price_microdollars": [{"no_price_microdollars": -1, "yes_price_microdollars": 1_000_001}],
    "ck_trades_prices_make_one_dollar": [{"no_price_microdollars": 570_000}, {"yes_price_microdollars": 0}],
    **below_zero("trades", "subaccount", "exchange_index", "fee_microdollars"),
    **no_flag("trades", "is_taker"),
    **empty("portfolio_settlements", "event_ticker"),
    **other_words("portfolio_settlements", "market_result", *RESULTS),
    "ck_portfolio_settlements_scalar_has_a_value": [{"market_result": "scalar"}],
    **below_zero("portfolio_settlements", "subaccount", "exchange_index", "revenue_microdollars", "fee_microdollars"),
    **below_zero("portfolio_settlements", "yes_count_centicontracts", "no_count_centicontracts"),
    **below_zero("portfolio_settlements", "yes_total_cost_microdollars", "no_total_cost_microdollars"),
    **no_price("portfolio_settlements", "value_microdollars"),
    **empty("settlements", "event_ticker"),
    **other_words("settlements", "result", *RESULTS),
    **no_price("settlements", "final_yes_price_microdollars", "final_no_price_microdollars"),
    "ck_settlements_yes_payout_microdollars": [
        {"yes_payout_microdollars": payout, "no_payout_microdollars": None} for payout in (-1, 1_000_001)
    ],
    "ck_settlements_no_payout_microdollars": [
        {"no_payout_microdollars": payout, "yes_payout_microdollars": None} for payout in (-1, 1_000_001)
    ],
    "ck_settlements_payouts_make_one_dollar": [{"no_payout_microdollars": 1}, {"yes_payout_microdollars": 999_999}],
    **empty("tracked_items", "ticker"),
    **other_words("tracked_items", "item_type", "market", "event"),
    **no_array("tracked_items", "search_queries"),
    **no_flag("tracked_items", "is_active"),
    **empty("news_articles", "url"),
    **longer_than("news_articles", 35, "language"),
    **no_relevance("news_article_markets"),
    **no_relevance("news_article_events"),
    **empty("news_article_sources", "provider", "url"),
    **other_words("news_finds", "item_type", "market", "event"),
    **empty("news_finds", "ticker", "provider"),
    "ck_news_finds_rank": [{"rank": 0}],
    **other_words("news_sentiment_windows", "item_type", "market", "event"),
    **empty("news_sentiment_windows", "ticker"),
    "ck_news_sentiment_windows_days": [{"days": 0}],
    "ck_news_sentiment_windows_positive": [{"positive": -1, "neutral": 2}],
    "ck_news_sentiment_windows_neutral": [{"neutral": -1, "positive": 2}],
    "ck_news_sentiment_windows_negative": [{"negative": -1, "positive": 3}],
    **below_zero("news_sentiment_windows", "without_published_time", "weight"),
    "ck_news_sentiment_windows_stories": [{"stories": 0, "positive": 0, "negative": 0}, {"articles": 1}],
    "ck_news_sentiment_windows_every_story_labelled": [{"positive": 2}],
    **{
        f"ck_news_sentiment_windows_{name}": [{name: score} for score in (-1.01, 1.01, float("inf"))]
        for name in ("mean_score", "weighted_score", "previous_weighted_score")
    },
    **other_words("news_sentiments", "label", "positive", "negative", "neutral"),
    "ck_news_sentiments_score": [{"score": score} for score in (-1.01, 1.01, float("inf"))],
    "ck_news_sentiments_confidence": [{"confidence": confidence} for confidence in (-0.01, 1.01, float("inf"))],
    **no_array("news_sentiments", "keywords_matched"),
    **other_words("adoption_counts", "table_name", *LEGACY),
    **below_zero("adoption_counts"),
    "ck_adoption_counts_rows_kept": [{"rows_kept": -1, "rows_normalised": 3}],
    "ck_adoption_counts_rows_normalised": [{"rows_normalised": -1, "rows_kept": 3}],
    "ck_adoption_counts_rows_quarantined": [{"rows_quarantined": -1, "rows_kept": 3}],
    "ck_adoption_counts_every_row_accounted_for": [{"rows_read": 4}, {"rows_kept": 0}],
    **other_words("adoption_notes", "table_name", *LEGACY),
    **other_words("adoption_notes", "outcome", "kept", "normalised"),
    **other_words("contract_runs", "environment", "sandbox", "demo", "prod"),
    **other_words("contract_runs", "source", "probes", "ingest"),
    **other_words("contract_runs", "status", "running", "succeeded", "failed", also={"finished_us": 1}),
    **below_zero("contract_runs", *[f"endpoints_{outcome}" for outcome in OUTCOMES]),
    **below_zero("contract_runs", "findings_opened", "findings_closed"),
    "ck_contract_runs_finished": [
        {"finished_us": 1},
        {"status": "succeeded", "endpoints_checked": 1},
        {"status": "failed", "error": "because"},
    ],
    "ck_contract_runs_failure_explained": [{"status": "failed", "finished_us": 1}, {"error": "because"}],
    "ck_contract_runs_something_checked": [
        {"status": "succeeded", "finished_us": 1},
        {"status": "succeeded", "finished_us": 1, "endpoints_refused": 1, "endpoints_unreachable": 1},
    ],
    **other_words("contract_endpoints", "environment", "sandbox", "demo", "prod"),
    **empty("contract_endpoints", "endpoint"),
    **other_words("contract_endpoints", "last_outcome", *OUTCOMES),
    "ck_contract_endpoints_failures": [{"failures": -1, "failing_since_us": 1}],
    "ck_contract_endpoints_failing_since": [{"failures": 1}, {"failing_since_us": 1}],
    **other_words("contract_baselines", "environment", "sandbox", "demo", "prod"),
    **empty("contract_baselines", "endpoint"),
    **no_object("contract_baselines", "baseline", "reference"),
    **below_zero("contract_baselines", "observations"),
    "ck_contract_baselines_observed_in_order": [{"first_observed_us": 2}],
    **empty("vendor_documents", "document"),
    **no_object("vendor_documents", "digest"),
    "ck_vendor_documents_sha256": [{"sha256": ""}, {"sha256": "0" * 63}, {"sha256": "0" * 65}],
    **empty("vendor_spending", "vendor"),
    **other_words("vendor_spending", "purpose", "probes", "news"),
    **below_zero("vendor_spending", "reserved_microdollars", "spent_microdollars"),
    **other_words("contract_findings", "environment", "sandbox", "demo", "prod"),
    **empty("contract_findings", "endpoint", "fingerprint"),
    **other_words("contract_findings", "kind", *tables.FINDING_KINDS),
    **other_words("contract_findings", "severity", "breaking", "risky", "additive"),
    **other_words("contract_findings", "seen_by", "probes", "ingest"),
    **other_words("contract_findings", "status", "open", "acknowledged", "closed"),
    **longer_than("contract_findings", 300, "place", "before", "after", "example", "advice"),
    **no_array("contract_findings", "assets"),
    "ck_contract_findings_openings": [{"openings": 0}],
    **below_zero("contract_findings", "absences"),
    "ck_contract_findings_seen_in_order": [{"first_seen_us": 2}],
    "ck_contract_findings_closed": [{"status": "closed"}, {"closed_us": 1}],
    "ck_contract_findings_acknowledged": [{"status": "acknowledged"}, ACKNOWLEDGED],
    "ck_contract_findings_acknowledged_by_somebody": [
        {"status": "acknowledged", **ACKNOWLEDGED, missing: None} for missing in ("acknowledged_by", "acknowledged_why")
    ]
    + [{"acknowledged_by": "Ann"}, {"acknowledged_why": "because"}],
    "ck_contract_findings_acknowledged_for_a_reason": [
        {"status": "acknowledged", **ACKNOWLEDGED, missing: ""} for missing in ("acknowledged_by", "acknowledged_why")
    ],
    **other_words("contract_finding_events", "event", "opened", "changed", "acknowledged", "closed", "reopened"),
    "ck_contract_finding_events_acknowledged_by_somebody": [
        {"who": "Ann"},
        {"why": "because"},
        {"event": "acknowledged", "contract_run_id": None, "who": "Ann"},
    ],
    "ck_contract_finding_events_seen_by_a_run": [
        {"contract_run_id": None},
        {"event": "acknowledged", "who": "Ann", "why": "because"},
    ],
    **empty("alerts", "message_key"),
    **other_words(
        "alerts", "origin", "finding", "summary", "run_failure", "overdue", "halt", also={"finding_id": None}
    ),
    **other_words("alerts", "severity", "breaking", "risky", "additive"),
    "ck_alerts_about_a_finding": [
        {"finding_id": None},
        {"origin": "summary"},
        {"origin": "run_failure"},
        {"origin": "overdue"},
    ],
    "ck_alerts_titled": [{"title": ""}],
    **longer_than("alerts", 200, "title"),
    **longer_than("alerts", 4_000, "body"),
    **other_words("alerts", "state", "pending", "sent", "failed", "skipped", also={"finished_us": 1}),
    "ck_alerts_finished": [{"state": "sent"}, {"finished_us": 1}],
    **empty("alert_deliveries", "channel"),
    **other_words("alert_deliveries", "state", "pending", "sending", "sent", "failed"),
    **below_zero("alert_deliveries", "attempts"),
    "ck_alert_deliveries_claimed": [{"state": "sending", "message_id": "m"}, {"claimed_us": 1}],
    "ck_alert_deliveries_sent": [{"state": "sent", "message_id": "m"}, {"sent_us": 1}],
    "ck_alert_deliveries_in_a_message": [{"state": "sending", "claimed_us": 1}, {"state": "sent", "sent_us": 1}],
    "ck_alert_deliveries_failure_explained": [{"state": "failed"}],
    **other_words("warehouse_identity", "environment", "sandbox", "demo", "prod"),
    "ck_warehouse_identity_warehouse_id": [{"warehouse_id": ""}, {"warehouse_id": "0" * 33}],
    **empty("history_moves", "dataset"),
    "ck_history_moves_rows_before": [{"rows_before": -1, **UNFINISHED}],
    "ck_history_moves_rows_removed": [{"rows_removed": -1, **UNFINISHED}],
    "ck_history_moves_rows_kept": [{"rows_kept": -1, "rows_removed": 4}],
    "ck_history_moves_finished": [{"finished_us": None}, {"rows_kept": None}],
    "ck_history_moves_every_row_accounted_for": [{"rows_removed": 1}, {"rows_kept": 2}, {"rows_before": 4}],
    **empty("superseded_files", "path"),
    "ck_superseded_files_rows_not_in_warehouse": [{"rows_not_in_warehouse": -1}, {"rows_not_in_warehouse": 4}],
    **other_words("lake_files", "dataset", *tables.LAKE_DATASETS),
    "ck_lake_files_partition_date": [{"partition_date": ""}, {"partition_date": "2026-11-222"}],
    **other_words("lake_files", "slot", *tables.LAKE_SLOTS),
    **other_words("lake_files", "status", *tables.LAKE_STATUSES),
    **below_zero("lake_files", "rows", "bytes"),
    "ck_lake_files_times": [{"first_us": 2}],
    **no_object("lake_files", "sums"),
    "ck_lake_files_sha256": [{"sha256": "0" * 63}, {"sha256": "0" * 65}],
    "ck_lake_files_next_sha256": [{"next_sha256": "0" * 63, "status": "publishing"}],
    "ck_lake_files_publishing_names_the_next_file": [{"status": "publishing"}, {"next_sha256": "1" * 64}],
    "ck_lake_files_published_file_has_a_hash": [{"sha256": None, "rows": 0}],
    "ck_lake_files_file_has_rows": [
        {"sha256": None, "status": "publishing", "next_sha256": "1" * 64},
        {"rows": 0},
    ],
    "ck_lake_files_content_sha256": [{"content_sha256": "0" * 63}, {"content_sha256": "0" * 65}],
    **{
        name: illegal
        for table in ("history_partitions", "history_residuals", "history_windows")
        for name, illegal in (
            *other_words(table, "dataset", *tables.LAKE_DATASETS).items(),
            (f"ck_{table}_partition_date", [{"partition_date": ""}, {"partition_date": "2026-11-222"}]),
        )
    },
    **other_words("history_partitions", "status", *tables.PARTITION_STATUSES),
    **other_words("history_partitions", "proof", *tables.PROOFS[1:]),
    **below_zero("history_partitions", "rows", "holes"),
    "ck_history_partitions_span_is_whole": [{"read_from_us": None}, {"read_until_us": None}],
    "ck_history_partitions_span": [{"read_from_us": 3}],
    "ck_history_partitions_checked": [{"proof": "not_checked"}, {"checked_us": None}],
    **no_object("history_partitions", "figures"),
    **empty("history_residuals", "kind"),
    **other_words("history_residuals", "state", *(set(tables.RESIDUAL_STATES) - {"explained"})),
    "ck_history_residuals_explained": [{"state": "explained"}],
    "ck_history_windows_span": [{"start_us": 9}, {"end_us": 1}],
    **other_words("history_windows", "state", *tables.WINDOW_STATES, also={"problem": None}),
    **other_words("history_windows", "source", *tables.WINDOW_SOURCES),
    **below_zero("history_windows", "rows"),
    "ck_history_windows_hole_has_a_problem": [{"problem": None}, {"state": "complete"}],
    **other_words("fee_changes", "scope", *tables.FEE_SCOPES, also={"series_ticker": None}),
    **other_words("fee_changes", "source", *tables.FEE_SOURCES),
    **empty("fee_changes", "ticker", "change_id"),
    **below_zero("fee_changes", "effective_us"),
    "ck_fee_changes_series_has_fees": [
        {"scope": "series", "series_ticker": None, "fee_type": None},
        {"scope": "series", "series_ticker": None, "fee_multiplier": None},
    ],
    "ck_fee_changes_event_has_a_series": [{"series_ticker": None}, {"scope": "series"}],
    "ck_fee_changes_withdrawn_later": [{"withdrawn_us": 1}],
}
#: CHECKs whose illegal values are also refused by a second CHECK. SQLite and Postgres may name either CHECK.
ALSO_REFUSED_BY: Final = {
    "ck_ingest_runs_records_read": "ck_ingest_runs_records_written",
    "ck_series_is_placeholder": "ck_series_placeholder_has_no_record",
    "ck_events_is_placeholder": "ck_events_placeholder_has_no_record",
    "ck_markets_is_placeholder": "ck_markets_placeholder_has_no_record",
    "ck_trades_yes_price_microdollars": "ck_trades_no_price_microdollars",
    "ck_trades_no_price_microdollars": "ck_trades_yes_price_microdollars",
}


def checks_of(table: sa.Table) -> Iterator[sa.CheckConstraint]:
    return (constraint for constraint in table.constraints if isinstance(constraint, sa.CheckConstraint))


TABLE_OF_CHECK = {str(check.name): table for table in LEGAL for check in checks_of(table)}


def test_every_table_has_a_legal_row() -> None:
    assert LEGAL.keys() == set(tables.metadata.tables.values())


def test_every_check_has_a_case() -> None:
    assert CHECKS.keys() == TABLE_OF_CHECK.keys()


def expected_of(connection: sa.Connection, check: str, values: Values) -> set[ConstraintRefusal]:
    if connection.dialect.name == "sqlite" and bytes in map(type, values.values()):
        return {ConstraintRefusal("type")}
    if connection.dialect.name == "postgresql" and values.keys() & {
        column.name for column in TABLE_OF_CHECK[check].columns if column.type is Flag and check.endswith(column.name)
    }:
        return {ConstraintRefusal("type")}
    return {ConstraintRefusal("check", name) for name in (check, ALSO_REFUSED_BY.get(check)) if name}


@pytest.mark.parametrize("check", CHECKS)
def test_no_statement_bypasses_a_check(connection: sa.Connection, check: str) -> None:
    for values in CHECKS[check]:
        assert_no_statement_stores(connection, TABLE_OF_CHECK[check], values, expected_of(connection, check, values))


@pytest.mark.parametrize("text", ["", "Toronto", "[", "['Toronto']", "[] []"])
@pytest.mark.parametrize(
    ("table", "column"),
    [
        (tables.tracked_items, "search_queries"),
        (tables.news_sentiments, "keywords_matched"),
        (tables.contract_findings, "assets"),
        (tables.contract_baselines, "baseline"),
        (tables.contract_baselines, "reference"),
        (tables.vendor_documents, "digest"),
    ],
    ids=str,
)
def test_text_that_is_not_json_is_refused(connection: sa.Connection, table: sa.Table, column: str, text: str) -> None:
    # Postgres may fail to parse the text before it checks that the text is a JSON array or object.
    assert_no_statement_stores(
        connection,
        table,
        {column: text},
        {ConstraintRefusal("check", f"ck_{table.name}_{column}"), ConstraintRefusal("type")},
    )


def test_rate_buckets_of_client_and_table_are_equal() -> None:
    assert {bucket.value for bucket in Bucket} == set(tables.RATE_BUCKETS)


# NOT NULL -----------------------------------------------------------------------------------------------------------

REQUIRED = [
    (table, column.name)
    for table in LEGAL
    for column in table.columns
    if not column.nullable and column is not table.autoincrement_column
]


@pytest.mark.parametrize(("table", "column"), REQUIRED, ids=str)
def test_required_column_cannot_be_null_or_left_out(connection: sa.Connection, table: sa.Table, column: str) -> None:
    assert_no_statement_stores(connection, table, {column: None}, {ConstraintRefusal("not null", column)})
    row = new_row(table)
    del row[column]
    error = catch_refusal(connection, lambda: insert(connection, table, row))
    assert error is not None
    assert classify_refusal(error) == ConstraintRefusal("not null", column)


@pytest.mark.parametrize(
    "table", [table for table in LEGAL if table.autoincrement_column is not None], ids=lambda table: str(table.name)
)
def test_row_number_cannot_be_null(connection: sa.Connection, table: sa.Table) -> None:
    number = table.autoincrement_column
    assert number is not None
    assert catch_refusal(connection, lambda: update(connection, table, {number.name: None})) is not None
    # SQLite replaces the NULL by a number of its own; Postgres refuses the row.
    catch_refusal(connection, lambda: insert(connection, table, new_row(table) | {number.name: None}))
    assert connection.scalar(sa.select(sa.func.count()).select_from(table).where(number.is_(None))) == 0


# Keys ---------------------------------------------------------------------------------------------------------------

FOREIGN_KEYS = {str(key.constraint.name): key for table in LEGAL for key in table.foreign_keys if key.constraint}
UNKNOWN: Final = {str: "UNKNOWN", int: 999}


def test_every_foreign_key_has_its_own_name() -> None:
    assert len(FOREIGN_KEYS) == sum(len(table.foreign_keys) for table in LEGAL)


@pytest.mark.parametrize("name", sorted(FOREIGN_KEYS))
def test_child_without_its_parent_is_refused(connection: sa.Connection, name: str) -> None:
    table, column = FOREIGN_KEYS[name].parent.table, FOREIGN_KEYS[name].parent.name
    unknown = UNKNOWN[type(numbered(table, 0)[column])]
    assert_no_statement_stores(connection, table, {column: unknown}, {ConstraintRefusal("foreign key")})


@pytest.mark.parametrize("name", sorted(FOREIGN_KEYS))
@pytest.mark.parametrize("change", ["DELETE", "UPDATE", "DELETE of all"])
def test_parent_with_a_child_cannot_be_deleted_or_renamed(connection: sa.Connection, name: str, change: str) -> None:
    child, column = FOREIGN_KEYS[name].parent.table, FOREIGN_KEYS[name].parent.name
    parent, key = FOREIGN_KEYS[name].column.table, FOREIGN_KEYS[name].column.name
    # The parent has only this child, so that no other foreign key causes the refusal.
    only = new_row(parent)
    insert(connection, parent, only)
    insert(connection, child, new_row(child) | {column: only[key]})
    before = stored(connection, parent)

    def take() -> None:
        if change == "UPDATE":
            run(
                connection,
                f"UPDATE {parent.name} SET {key} = ? WHERE {key} = ?",
                (UNKNOWN[type(only[key])], only[key]),
            )
        elif change == "DELETE":
            run(connection, f"DELETE FROM {parent.name} WHERE {key} = ?", (only[key],))
        else:
            run(connection, f"DELETE FROM {parent.name}", ())

    error = catch_refusal(connection, take)
    assert error is not None
    assert classify_refusal(error) == ConstraintRefusal("foreign key")
    if change != "DELETE of all":
        assert constraint_name(error) in (name, None)
    assert stored(connection, parent) == before


def unique_keys_of(table: sa.Table) -> Iterator[sa.PrimaryKeyConstraint | sa.UniqueConstraint | sa.Index]:
    yield table.primary_key
    yield from (constraint for constraint in table.constraints if isinstance(constraint, sa.UniqueConstraint))
    yield from (index for index in table.indexes if index.unique)


UNIQUE_KEYS = {
    str(key.name): (table, [column.name for column in key.columns]) for table in LEGAL for key in unique_keys_of(table)
}
#: Columns that must not be NULL for a unique key to apply: a NULL is different from every other NULL.
UNIQUE_AMONG: Final[dict[str, Values]] = {"uq_balances_subaccount_exchange_index_observed_us": {"exchange_index": 0}}


@pytest.mark.parametrize("name", sorted(UNIQUE_KEYS))
def test_duplicate_of_a_unique_key_is_refused(connection: sa.Connection, name: str) -> None:
    table, columns = UNIQUE_KEYS[name]
    among = UNIQUE_AMONG.get(name, {})
    if among:
        update(connection, table, among)
    key = {column: (numbered(table, 0) | among).get(column) for column in columns}
    other = new_row(table) | among

    def insert_the_same_key() -> None:
        insert(connection, table, other | key)

    def update_to_the_same_key() -> None:
        where = " AND ".join(f"{column} = ?" for column in columns)
        values = (*key.values(), *(other[column] for column in columns))
        run(connection, f"UPDATE {table.name} SET {_set(key)} WHERE {where}", values)

    for statement in (insert_the_same_key, update_to_the_same_key):
        if statement is update_to_the_same_key:
            insert(connection, table, other)
        before = stored(connection, table)
        error = catch_refusal(connection, statement)
        assert error is not None
        assert classify_refusal(error) == ConstraintRefusal("unique")
        assert constraint_name(error) in (name, None)
        assert stored(connection, table) == before


def test_sqlite_refuses_deferred_orphans_at_the_commit(sqlite_engine: sa.Engine) -> None:
    orphan = LEGAL[tables.watermarks]
    with sqlite_engine.connect() as connection:
        transaction = connection.begin()
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        insert(connection, tables.watermarks, orphan)
        with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY constraint failed"):
            transaction.commit()


# Types --------------------------------------------------------------------------------------------------------------

NUMBERS = [(table, column.name) for table in LEGAL for column in table.columns if column.type in (Integer, Flag, Real)]


def test_every_column_has_a_tested_type() -> None:
    types = {type(column.type) for table in LEGAL for column in table.columns}
    assert types == {sa.BigInteger, sa.Boolean, sa.Double, sa.Text, sa.LargeBinary}


@pytest.mark.parametrize(("table", "column"), NUMBERS, ids=str)
def test_value_that_is_not_a_number_is_refused(connection: sa.Connection, table: sa.Table, column: str) -> None:
    fractions = ["0.57"] if table.c[column].type is Integer else []
    for value in ("abc", "", "yes/no", b"57", *fractions):
        assert_no_statement_stores(connection, table, {column: value}, {ConstraintRefusal("type")})


@pytest.mark.parametrize("dollars", ["0.57", 0.57, Decimal("0.57"), None], ids=["text", "float", "decimal", "literal"])
def test_fraction_is_refused_by_sqlite_and_rounded_by_postgres(connection: sa.Connection, dollars: Any) -> None:
    """Postgres rounds a fraction before any CHECK or trigger sees it, so writers must send integers."""
    sqlite = connection.dialect.name == "sqlite"
    if sqlite and isinstance(dollars, Decimal):
        dollars = str(dollars)  # the SQLite driver cannot bind a Decimal
    error = catch_refusal(
        connection,
        lambda: run(
            connection,
            f"UPDATE quotes SET yes_bid_microdollars = {'0.57' if dollars is None else '?'} WHERE ticker = ?",
            (*(() if dollars is None else (dollars,)), LEGAL[tables.markets]["ticker"]),
        ),
    )
    if sqlite or dollars == "0.57":
        assert error is not None
        assert classify_refusal(error) == ConstraintRefusal("type")
    else:
        assert error is None
        quote = sa.select(tables.quotes.c.yes_bid_microdollars)
        assert connection.scalar(quote.where(tables.quotes.c.ticker == LEGAL[tables.markets]["ticker"])) == 1

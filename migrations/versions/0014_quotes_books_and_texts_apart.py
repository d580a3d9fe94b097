"""Move quotes out of markets, store shared texts once, keep the newest book of each market, and fill settlements.

A quote changes hundreds of times as often as the facts of its market, and the facts are ten times as long. Long texts
such as secondary rules are the same for many markets. The newest book of a market was looked up in the whole history.

Settlements become smaller, because most rows of a warehouse belong to settled markets: no row numbers on SQLite, and no
index of times beside that of the markets. The index of statuses leaves finalized markets out.

Every market that is finalized with a settlement value gets a settlement, unless it has one. A market whose values the
table of settlements refuses gets none.

A downgrade moves everything back. Books that only the table of newest books has become history rows. Settlements stay.
"""

import hashlib

import sqlalchemy as sa
from alembic import op
from alembic.operations import BatchOperations

from kalshi_pipelines.warehouse.engine import sqlite_driver
from kalshi_pipelines.warehouse.migration_steps import changed_table, dialect, refuse_to_lose

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")

QUOTE_PRICES = (
    "yes_bid_microdollars",
    "yes_ask_microdollars",
    "no_bid_microdollars",
    "no_ask_microdollars",
    "last_price_microdollars",
)
QUOTE_COUNTS = (
    "yes_bid_size_centicontracts",
    "yes_ask_size_centicontracts",
    "volume_centicontracts",
    "open_interest_centicontracts",
    "volume_24h_centicontracts",
)
PREVIOUS_DAY_PRICES = (
    "previous_yes_bid_microdollars",
    "previous_yes_ask_microdollars",
    "previous_price_microdollars",
)
QUOTE = (*QUOTE_PRICES, *QUOTE_COUNTS, *PREVIOUS_DAY_PRICES)
PRICES = (*QUOTE_PRICES, *PREVIOUS_DAY_PRICES)
TEXTS = ("rules_secondary", "early_close_condition", "price_ranges")
BOOK = (
    *[
        column
        for side in ("yes", "no")
        for column in (
            f"best_{side}_bid_microdollars",
            f"best_{side}_bid_size_centicontracts",
            f"{side}_depth_centicontracts",
            f"{side}_levels",
        )
    ],
    "unknown_fields",
)
FACTS = (
    "event_ticker",
    "market_type",
    "status",
    "result",
    "created_time_us",
    "updated_time_us",
    "open_time_us",
    "close_time_us",
    "latest_expiration_time_us",
    "settlement_timer_seconds",
    "notional_value_microdollars",
    "can_close_early",
    "price_level_structure",
    "yes_sub_title",
    "no_sub_title",
    "expiration_value",
    "rules_primary",
)
FACTS_BEFORE = (
    *QUOTE,
    *FACTS[: FACTS.index("yes_sub_title")],
    "price_ranges",
    *FACTS[FACTS.index("yes_sub_title") :],
    "rules_secondary",
)
FACTS_AFTER = (*FACTS, "rules_secondary_digest", "price_ranges_digest")
#: Every stored book once: the newest of each market, and the older ones that were not moved to the lake yet.
STORED_BOOKS = """
    SELECT ticker, observed_us, yes_levels, no_levels FROM orderbooks
    UNION ALL
    SELECT ticker, observed_us, yes_levels, no_levels FROM orderbook_snapshots AS older
    WHERE NOT EXISTS (
        SELECT 1 FROM orderbooks AS newest
        WHERE newest.ticker = older.ticker AND newest.observed_us = older.observed_us
    )
"""
SHOWN_PRICES = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price")
SHOWN_COUNTS = ("yes_bid_size", "yes_ask_size", "volume", "volume_24h", "open_interest")


def upgrade() -> None:
    clean_up()
    _drop_views()
    _create_tables()
    _move_quotes_out()
    _fill_texts()
    _fill_books()
    _shrink()
    _fill_settlements()
    _narrow_markets()
    _create_views("markets JOIN quotes USING (ticker)", "observed_us", f"({STORED_BOOKS}) AS books")


def clean_up() -> None:
    """Do nothing: no row can break the new constraints.

    The older constraint required the same columns of every market with a record, with the texts themselves in place of
    their digests.
    """


def downgrade() -> None:
    refuse_to_lose(
        "markets", "facts_digest IS NOT NULL AND NOT EXISTS (SELECT 1 FROM quotes WHERE quotes.ticker = markets.ticker)"
    )
    _drop_views()
    _grow()
    _widen_markets()
    columns = ", ".join(("ticker", "observed_us", "ingest_run_id", "record_digest", *BOOK))
    op.execute(
        f"INSERT INTO orderbook_snapshots ({columns}) SELECT {columns} FROM orderbooks WHERE NOT EXISTS"
        " (SELECT 1 FROM orderbook_snapshots AS stored"
        " WHERE stored.ticker = orderbooks.ticker AND stored.observed_us = orderbooks.observed_us)"
    )
    for table in ("orderbooks", "quotes", "rule_texts"):
        op.drop_table(table)
    _create_views("markets WHERE record_digest IS NOT NULL", "recorded_us", "orderbook_snapshots")


def _create_tables() -> None:
    op.create_table(
        "rule_texts",
        sa.Column("text_digest", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("text_digest", name=op.f("pk_rule_texts")),
        sqlite_strict=True,
    )
    op.create_table(
        "quotes",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=False),
        *[sa.Column(name, Integer, nullable=False) for name in QUOTE],
        sa.Column("observed_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        *[sa.CheckConstraint(f"{name} BETWEEN 0 AND 1000000", name=op.f(f"ck_quotes_{name}")) for name in PRICES],
        *[sa.CheckConstraint(f"{name} >= 0", name=op.f(f"ck_quotes_{name}")) for name in QUOTE_COUNTS],
        *_keys("quotes"),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    sides = ("yes", "no")
    op.create_table(
        "orderbooks",
        sa.Column("ticker", sa.Text(), nullable=False),
        sa.Column("record_digest", sa.LargeBinary(), nullable=False),
        sa.Column("observed_us", Integer, nullable=False),
        sa.Column("ingest_run_id", Integer, nullable=False),
        *[
            column
            for side in sides
            for column in (
                sa.Column(f"best_{side}_bid_microdollars", Integer, nullable=True),
                sa.Column(f"best_{side}_bid_size_centicontracts", Integer, nullable=True),
                sa.Column(f"{side}_depth_centicontracts", Integer, nullable=False),
                sa.Column(f"{side}_levels", sa.Text(), nullable=False),
            )
        ],
        sa.Column("unknown_fields", sa.Text(), nullable=True),
        *[check for side in sides for check in _book_checks(side)],
        *_keys("orderbooks"),
        sqlite_strict=True,
    )


def _book_checks(side: str) -> list[sa.CheckConstraint]:
    price, size = f"best_{side}_bid_microdollars", f"best_{side}_bid_size_centicontracts"
    depth = f"{side}_depth_centicontracts"
    return [
        sa.CheckConstraint(f"{price} BETWEEN 0 AND 1000000", name=op.f(f"ck_orderbooks_{price}")),
        sa.CheckConstraint(f"{size} >= 0", name=op.f(f"ck_orderbooks_{size}")),
        sa.CheckConstraint(f"{depth} >= 0", name=op.f(f"ck_orderbooks_{depth}")),
        sa.CheckConstraint(
            f"({price} IS NULL) = ({size} IS NULL)", name=op.f(f"ck_orderbooks_best_{side}_bid_has_a_size")
        ),
    ]


def _keys(table: str) -> list[sa.Constraint]:
    return [
        sa.ForeignKeyConstraint(
            ["ingest_run_id"], ["ingest_runs.ingest_run_id"], name=op.f(f"fk_{table}_ingest_run_id_ingest_runs")
        ),
        sa.ForeignKeyConstraint(["ticker"], ["markets.ticker"], name=op.f(f"fk_{table}_ticker_markets")),
        sa.PrimaryKeyConstraint("ticker", name=op.f(f"pk_{table}")),
    ]


def _move_quotes_out() -> None:
    columns = ", ".join(("ticker", "record_digest", *QUOTE))
    op.execute(
        f"INSERT INTO quotes ({columns}, observed_us, ingest_run_id)"
        f" SELECT {columns}, recorded_us, ingest_run_id FROM markets WHERE record_digest IS NOT NULL ORDER BY ticker"
    )


def _fill_texts() -> None:
    """Store each text once, under the first 16 bytes of its SHA-256. SQLite borrows the digest from Python."""
    digest = "substring(sha256(convert_to({text}, 'UTF8')) FROM 1 FOR 16)"
    if dialect() == "sqlite":
        digest = "kalshi_text_digest({text})"
        sqlite_driver(op.get_bind()).create_function("kalshi_text_digest", 1, _text_digest, deterministic=True)
    for text in TEXTS:
        op.add_column("markets", sa.Column(f"{text}_digest", sa.LargeBinary(), nullable=True))
        op.execute(
            f"INSERT INTO rule_texts (text_digest, text) SELECT {digest.format(text=text)}, {text}"
            f" FROM (SELECT DISTINCT {text} FROM markets WHERE {text} IS NOT NULL) AS texts WHERE true ON CONFLICT DO NOTHING"
        )
    digests = ", ".join(f"{text}_digest = {digest.format(text=text)}" for text in TEXTS)
    op.execute(f"UPDATE markets SET {digests} WHERE {' OR '.join(f'{text} IS NOT NULL' for text in TEXTS)}")


def _text_digest(text: str | None) -> bytes | None:
    return None if text is None else hashlib.sha256(text.encode()).digest()[:16]


def _fill_books() -> None:
    columns = ", ".join(("ticker", "observed_us", "ingest_run_id", "record_digest", *BOOK))
    op.execute(
        f"INSERT INTO orderbooks ({columns}) SELECT {columns} FROM orderbook_snapshots AS book WHERE observed_us ="
        " (SELECT max(other.observed_us) FROM orderbook_snapshots AS other WHERE other.ticker = book.ticker)"
    )


def _shrink() -> None:
    """Leave out what only settled markets would fill: a second index of times, row numbers, and their statuses."""
    op.drop_index(op.f("ix_settlements_settled_us"), "settlements")
    with changed_table("settlements", with_rowid=False):
        pass
    op.drop_index(op.f("ix_markets_status_close_time_us"), "markets")
    unsettled = sa.text("status <> 'finalized'")
    op.create_index(
        op.f("ix_markets_status_close_time_us"),
        "markets",
        ["status", "close_time_us"],
        sqlite_where=unsettled,
        postgresql_where=unsettled,
    )


def _grow() -> None:
    op.drop_index(op.f("ix_markets_status_close_time_us"), "markets")
    op.create_index(op.f("ix_markets_status_close_time_us"), "markets", ["status", "close_time_us"])
    with changed_table("settlements", with_rowid=True):
        pass
    op.create_index(op.f("ix_settlements_settled_us"), "settlements", ["settled_us"])


def _fill_settlements() -> None:
    op.execute(
        """
        INSERT INTO settlements (
            ticker, event_ticker, settled_us, result, final_yes_price_microdollars, final_no_price_microdollars,
            yes_payout_microdollars, no_payout_microdollars, recorded_us, ingest_run_id
        )
        SELECT ticker, event_ticker, settlement_time_us, CASE WHEN result = '' THEN 'scalar' ELSE result END,
               CASE WHEN volume_centicontracts > 0 THEN last_price_microdollars END,
               CASE WHEN volume_centicontracts > 0 THEN 1000000 - last_price_microdollars END,
               settlement_value_microdollars, 1000000 - settlement_value_microdollars, recorded_us, ingest_run_id
        FROM markets
        WHERE record_digest IS NOT NULL AND status = 'finalized' AND settlement_value_microdollars <= 1000000
              AND settlement_time_us IS NOT NULL AND event_ticker <> ''
              AND NOT EXISTS (SELECT 1 FROM settlements AS stored WHERE stored.ticker = markets.ticker)
        ORDER BY ticker
        """
    )


def _narrow_markets() -> None:
    with changed_table("markets") as markets:
        for name in (*PRICES, *QUOTE_COUNTS):
            markets.drop_constraint(op.f(f"ck_markets_{name}"), type_="check")
        for name in ("placeholder_has_no_record", "complete_unless_placeholder"):
            markets.drop_constraint(op.f(f"ck_markets_{name}"), type_="check")
        for name in (*QUOTE, *TEXTS):
            markets.drop_column(name)
        markets.alter_column("record_digest", new_column_name="facts_digest", existing_type=sa.LargeBinary())
        _describe_records(markets, "facts_digest", FACTS_AFTER)


def _widen_markets() -> None:
    """Move quotes and texts back. The columns come last, because ALTER TABLE adds columns at the end."""
    for name in QUOTE:
        op.add_column("markets", sa.Column(name, Integer, nullable=True))
    for name in TEXTS:
        op.add_column("markets", sa.Column(name, sa.Text(), nullable=True))
    names = ", ".join(QUOTE)
    op.execute(
        f"UPDATE markets SET (facts_digest, {names}) = (SELECT record_digest, {names} FROM quotes"
        " WHERE quotes.ticker = markets.ticker) WHERE facts_digest IS NOT NULL"
    )
    texts = ", ".join(
        f"{text} = (SELECT rule_texts.text FROM rule_texts WHERE rule_texts.text_digest = {text}_digest)"
        for text in TEXTS
    )
    op.execute(f"UPDATE markets SET {texts} WHERE {' OR '.join(f'{text}_digest IS NOT NULL' for text in TEXTS)}")
    with changed_table("markets") as markets:
        for name in ("placeholder_has_no_record", "complete_unless_placeholder"):
            markets.drop_constraint(op.f(f"ck_markets_{name}"), type_="check")
        for name in TEXTS:
            markets.drop_column(f"{name}_digest")
        markets.alter_column("facts_digest", new_column_name="record_digest", existing_type=sa.LargeBinary())
        for name in PRICES:
            markets.create_check_constraint(op.f(f"ck_markets_{name}"), f"{name} BETWEEN 0 AND 1000000")
        for name in QUOTE_COUNTS:
            markets.create_check_constraint(op.f(f"ck_markets_{name}"), f"{name} >= 0")
        _describe_records(markets, "record_digest", FACTS_BEFORE)


def _describe_records(markets: BatchOperations, digest: str, facts: tuple[str, ...]) -> None:
    markets.create_check_constraint(
        op.f("ck_markets_placeholder_has_no_record"), f"is_placeholder = ({digest} IS NULL)"
    )
    markets.create_check_constraint(
        op.f("ck_markets_complete_unless_placeholder"),
        f"{digest} IS NULL OR (" + " AND ".join(f"{name} IS NOT NULL" for name in facts) + ")",
    )


def _drop_views() -> None:
    for view in ("orderbook_levels", "price_history", "current_quotes"):
        op.execute(f"DROP VIEW {view}")


def _create_views(markets: str, recorded: str, books: str) -> None:
    op.execute(
        f"""
        CREATE VIEW current_quotes AS
        SELECT ticker, event_ticker, title, status, result, {_quote()},
               {_time("close_time_us")} AS close_time, {_time(recorded)} AS recorded_time
        FROM {markets}
        """
    )
    op.execute(
        f"""
        CREATE VIEW price_history AS
        SELECT ticker, {_time("observed_us")} AS observed_time, {_quote()}, observed_us
        FROM price_snapshots
        """
    )
    op.execute(f"CREATE VIEW orderbook_levels AS {_levels('yes', books)} UNION ALL {_levels('no', books)}")


def _quote() -> str:
    columns = []
    for name in SHOWN_PRICES:
        shown = _dollars(f"{name}_microdollars")
        if name in ("yes_bid", "no_ask"):
            shown = f"CASE WHEN yes_bid_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name in ("yes_ask", "no_bid"):
            shown = f"CASE WHEN yes_ask_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name == "last_price":
            shown = f"CASE WHEN {name}_microdollars IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    for name in SHOWN_COUNTS:
        shown = _contracts(f"{name}_centicontracts")
        if name in ("yes_bid_size", "yes_ask_size"):
            shown = f"CASE WHEN {name}_centicontracts IS NULL THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    columns += [f"{name}_microdollars" for name in SHOWN_PRICES]
    return ", ".join(columns)


def _levels(side: str, books: str) -> str:
    if dialect() == "postgresql":
        exploded = f"jsonb_array_elements({side}_levels::jsonb) AS level"
        price, count = "(level ->> 0)::bigint", "(level ->> 1)::bigint"
    else:
        exploded = f"json_each({side}_levels) AS level"
        price, count = "json_extract(level.value, '$[0]')", "json_extract(level.value, '$[1]')"
    return f"""
        SELECT ticker, {_time("observed_us")} AS observed_time, '{side}' AS side,
               {_dollars(price)} AS price, {_contracts(count)} AS contracts,
               observed_us, {price} AS price_microdollars, {count} AS centicontracts
        FROM {books}, {exploded}"""


def _dollars(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.000001)::numeric(18, 6)"
    return f"printf('%d.%06d', {integer} / 1000000, {integer} % 1000000)"


def _contracts(integer: str) -> str:
    if dialect() == "postgresql":
        return f"({integer} * 0.01)::numeric(18, 2)"
    return f"printf('%d.%02d', {integer} / 100, {integer} % 100)"


def _time(microseconds: str) -> str:
    if dialect() == "postgresql":
        return f"(timestamptz 'epoch' + {microseconds} * interval '1 microsecond')"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {microseconds} % 1000000)"
    )

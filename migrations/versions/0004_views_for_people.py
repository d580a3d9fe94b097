"""Create views that show plain dollars, contracts and times to people.

Dollars and contracts are exact: NUMERIC on Postgres, and decimal text on SQLite, which has no decimal type. On SQLite,
compare and sort by the integer columns. A side without a quote shows NULL.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PRICES = ("yes_bid", "yes_ask", "no_bid", "no_ask", "last_price")
COUNTS = ("yes_bid_size", "yes_ask_size", "volume", "volume_24h", "open_interest")


def upgrade() -> None:
    dialect = op.get_context().dialect.name
    op.execute(
        f"""
        CREATE VIEW current_quotes AS
        SELECT ticker, event_ticker, title, status, result, {_quote(dialect)},
               {_time("close_time_us", dialect)} AS close_time, {_time("recorded_us", dialect)} AS recorded_time
        FROM markets
        """
    )
    op.execute(
        f"""
        CREATE VIEW price_history AS
        SELECT ticker, {_time("observed_us", dialect)} AS observed_time, {_quote(dialect)}, observed_us
        FROM price_snapshots
        """
    )
    op.execute(
        f"""
        CREATE VIEW orderbook_levels AS
        {_levels("yes", dialect)}
        UNION ALL
        {_levels("no", dialect)}
        """
    )


def downgrade() -> None:
    for view in ("orderbook_levels", "price_history", "current_quotes"):
        op.execute(f"DROP VIEW {view}")


def _quote(dialect: str) -> str:
    columns = []
    for name in PRICES:
        shown = _dollars(f"{name}_microdollars", dialect)
        if name in ("yes_bid", "no_ask"):
            shown = f"CASE WHEN yes_bid_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        if name in ("yes_ask", "no_bid"):
            shown = f"CASE WHEN yes_ask_size_centicontracts = 0 THEN NULL ELSE {shown} END"
        columns.append(f"{shown} AS {name}")
    columns += [f"{_contracts(f'{name}_centicontracts', dialect)} AS {name}" for name in COUNTS]
    columns += [f"{name}_microdollars" for name in PRICES]
    return ", ".join(columns)


def _levels(side: str, dialect: str) -> str:
    if dialect == "postgresql":
        exploded, price, count = (
            f"jsonb_array_elements({side}_levels::jsonb) AS level",
            "(level ->> 0)::bigint",
            "(level ->> 1)::bigint",
        )
    else:
        exploded, price, count = (
            f"json_each({side}_levels) AS level",
            "json_extract(level.value, '$[0]')",
            "json_extract(level.value, '$[1]')",
        )
    return f"""
        SELECT ticker, {_time("observed_us", dialect)} AS observed_time, '{side}' AS side,
               {_dollars(price, dialect)} AS price, {_contracts(count, dialect)} AS contracts,
               observed_us, {price} AS price_microdollars, {count} AS centicontracts
        FROM orderbook_snapshots, {exploded}"""


def _dollars(integer: str, dialect: str) -> str:
    if dialect == "postgresql":
        return f"({integer} * 0.000001)::numeric(18, 6)"
    return f"printf('%d.%06d', {integer} / 1000000, {integer} % 1000000)"


def _contracts(integer: str, dialect: str) -> str:
    if dialect == "postgresql":
        return f"({integer} * 0.01)::numeric(18, 2)"
    return f"printf('%d.%02d', {integer} / 100, {integer} % 100)"


def _time(microseconds: str, dialect: str) -> str:
    if dialect == "postgresql":
        return f"(timestamptz 'epoch' + {microseconds} * interval '1 microsecond')"
    return (
        f"strftime('%Y-%m-%dT%H:%M:%S', {microseconds} / 1000000, 'unixepoch')"
        f" || printf('.%06dZ', {microseconds} % 1000000)"
    )

"""Record which days of history were read and checked, and give each file of the lake a hash of its rows.

The hash of an existing file is filled when the file is next verified or closed. A downgrade is refused once a backfilled
dataset has files or records. It forgets the hashes, which can be computed again.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, refuse_to_lose

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.INTEGER(), "sqlite")
OLD_DATASETS = "'price_history', 'orderbook_levels', 'settled_markets', 'past_events'"
NEW_DATASETS = "'public_trades', 'candlesticks_1m', 'candlesticks_1h', 'candlesticks_1d'"
PARTITIONS = {
    "status": "status IN ('reading', 'open', 'closed')",
    "proof": "proof IN ('not_checked', 'proved', 'explained', 'missing')",
    "rows": "rows >= 0",
    "holes": "holes >= 0",
    "span_is_whole": "(read_from_us IS NULL) = (read_until_us IS NULL)",
    "span": "read_from_us <= read_until_us",
    "checked": "(proof = 'not_checked') = (checked_us IS NULL)",
}
RESIDUALS = {
    "kind": "kind <> ''",
    "state": "state IN ('nothing_traded', 'not_served', 'missing', 'explained')",
    "explained": "state <> 'explained' OR explanation IS NOT NULL",
}
WINDOWS = {
    "span": "start_us < end_us",
    "state": "state IN ('complete', 'hole')",
    "source": "source IN ('live', 'historical', 'both')",
    "rows": "rows >= 0",
    "hole_has_a_problem": "(state = 'hole') = (problem IS NOT NULL)",
}


def upgrade() -> None:
    clean_up()
    with changed_table("lake_files") as files:
        files.add_column(sa.Column("content_sha256", sa.Text(), nullable=True))
        files.create_check_constraint(op.f("ck_lake_files_content_sha256"), "length(content_sha256) = 64")
        files.drop_constraint(op.f("ck_lake_files_dataset"), type_="check")
        files.create_check_constraint(op.f("ck_lake_files_dataset"), f"dataset IN ({OLD_DATASETS}, {NEW_DATASETS})")
    _create(
        "history_partitions",
        [
            *_texts("status"),
            *_integers("rows", "holes"),
            *_integers("read_from_us", "read_until_us", "read_us", nullable=True),
            *_texts("proof"),
            *_integers("checked_us", nullable=True),
            *_texts("figures"),
        ],
        (),
        PARTITIONS,
        *_json_object("figures"),
    )
    _create(
        "history_residuals",
        [
            *_texts("ticker", "kind", "state"),
            *_texts("expected", "found", "explanation", nullable=True),
            *_integers("first_seen_us"),
        ],
        ("ticker", "kind"),
        RESIDUALS,
    )
    _create(
        "history_windows",
        [
            *_integers("start_us", "end_us"),
            *_texts("state", "source"),
            *_integers("rows", "read_us"),
            *_texts("problem", nullable=True),
        ],
        ("start_us",),
        WINDOWS,
    )


def clean_up() -> None:
    """Do nothing: no row can break the new constraints, because they permit more words or concern new columns."""


def _texts(*names: str, nullable: bool = False) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _integers(*names: str, nullable: bool = False) -> list[sa.Column[int]]:
    return [sa.Column(name, Integer, nullable=nullable) for name in names]


def _json_object(column: str) -> list[sa.CheckConstraint]:
    json = {
        "sqlite": f"{column} IS NULL OR CASE WHEN json_valid({column}) THEN json_type({column}) = 'object' ELSE 0 END",
        "postgresql": f"jsonb_typeof({column}::jsonb) = 'object'",
    }
    return [
        sa.CheckConstraint(check, name=op.f(f"ck_history_partitions_{column}")).ddl_if(dialect=dialect)
        for dialect, check in json.items()
    ]


def _create(
    table: str,
    columns: list[Any],
    key: tuple[str, ...],
    checks: dict[str, str],
    *others: sa.CheckConstraint,
) -> None:
    checks = {
        "dataset": f"dataset IN ({OLD_DATASETS}, {NEW_DATASETS})",
        "partition_date": "length(partition_date) = 10",
    } | checks
    op.create_table(
        table,
        *_texts("dataset", "partition_date"),
        *columns,
        *[sa.CheckConstraint(check, name=op.f(f"ck_{table}_{name}")) for name, check in checks.items()],
        *others,
        sa.PrimaryKeyConstraint("dataset", "partition_date", *key, name=op.f(f"pk_{table}")),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    for table in ("history_windows", "history_residuals", "history_partitions"):
        refuse_to_lose(table)
        op.drop_table(table)
    refuse_to_lose("lake_files", f"dataset IN ({NEW_DATASETS})")
    with changed_table("lake_files") as files:
        files.drop_constraint(op.f("ck_lake_files_dataset"), type_="check")
        files.create_check_constraint(op.f("ck_lake_files_dataset"), f"dataset IN ({OLD_DATASETS})")
        files.drop_constraint(op.f("ck_lake_files_content_sha256"), type_="check")
        files.drop_column("content_sha256")

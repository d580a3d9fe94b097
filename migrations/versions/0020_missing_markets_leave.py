"""Let the lake have a dataset for markets that the exchange has lost and that leave the warehouse.

A downgrade is refused once the dataset has files.
"""

from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table, refuse_to_lose

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

OLD_DATASETS = (
    "'price_history', 'orderbook_levels', 'settled_markets', 'past_events', "
    "'public_trades', 'candlesticks_1m', 'candlesticks_1h', 'candlesticks_1d'"
)
NEW_DATASETS = "'missing_markets'"
TABLES = ("lake_files", "history_partitions", "history_residuals", "history_windows")


def upgrade() -> None:
    clean_up()
    _permit(f"{OLD_DATASETS}, {NEW_DATASETS}")


def clean_up() -> None:
    """Do nothing: no row can break the new constraints, because they permit more words."""


def _permit(datasets: str) -> None:
    for name in TABLES:
        constraint = op.f(f"ck_{name}_dataset")
        with changed_table(name) as table:
            table.drop_constraint(constraint, type_="check")
            table.create_check_constraint(constraint, f"dataset IN ({datasets})")


def downgrade() -> None:
    for name in TABLES:
        refuse_to_lose(name, f"dataset IN ({NEW_DATASETS})")
    _permit(OLD_DATASETS)

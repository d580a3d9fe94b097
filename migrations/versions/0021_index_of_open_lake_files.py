"""Find the files of the lake that are not closed without reading the whole manifest, however old the lake is."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

OPEN = sa.text("status <> 'closed'")


def upgrade() -> None:
    op.create_index(
        op.f("ix_lake_files_not_closed"), "lake_files", ["status"], sqlite_where=OPEN, postgresql_where=OPEN
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_lake_files_not_closed"), "lake_files")

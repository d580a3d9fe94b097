"""Let no proposer choose the number, the time or the login of a proposal, and bound what one proposer can store.

On Postgres a guard gives each proposal its number, so the column loses its default.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

#: A number above this limit was chosen by a proposer. Numbers continue below it.
_CHOSEN = 2**62


def upgrade() -> None:
    op.add_column("proposals", sa.Column("login", sa.Text(), nullable=False, server_default=""))
    op.create_index(
        op.f("ix_proposals_actor_kind_actor_name_proposed_us"), "proposals", ["actor_kind", "actor_name", "proposed_us"]
    )
    op.create_index(op.f("ix_proposals_login_proposed_us"), "proposals", ["login", "proposed_us"])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("ALTER TABLE proposals ALTER COLUMN proposal_id DROP DEFAULT")
        connection.exec_driver_sql(
            "SELECT setval('proposals_proposal_id_seq', greatest(used.last_value, stored.newest, 1), "
            "used.is_called OR stored.newest IS NOT NULL) FROM proposals_proposal_id_seq used, "
            f"(SELECT max(proposal_id) AS newest FROM proposals WHERE proposal_id < {_CHOSEN}) stored"
        )


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")

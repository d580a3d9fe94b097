"""Mark a change of the guards. This revision changes no table.

From this revision on, Postgres checks the rules of a guard in one query instead of one query for each rule. Postgres
also counts all reservations of one statement together. The rules are the same.
"""

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table. The function ``upgrade_journal`` creates the guards after all migrations."""


def downgrade() -> None:
    """Change no table. The function ``upgrade_journal`` of the older code creates the older guards."""

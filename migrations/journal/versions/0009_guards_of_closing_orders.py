"""Mark a change of the guards. This revision changes no table.

From this revision on, the guards refuse an order that claims to close more than the account holds. No cap refuses an
order that only closes a position.
"""

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table. The function ``upgrade_journal`` creates the guards after all migrations."""


def downgrade() -> None:
    """Change no table. The function ``upgrade_journal`` of the older code creates the older guards."""

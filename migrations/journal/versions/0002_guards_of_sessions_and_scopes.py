"""Mark a change of the guards. This revision changes no table.

From this revision on, the guards refuse orders of a session that the kill switch stopped. The guards also refuse to
send an order whose reservation is not counted in the order's own scopes. They refuse any change of the columns that
define what a counter counts.
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table. The function ``upgrade_journal`` creates the guards after all migrations."""


def downgrade() -> None:
    """Change no table. The function ``upgrade_journal`` of the older code creates the older guards."""

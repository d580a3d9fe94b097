"""Mark a change of the guards. This revision changes no table.

From this revision on, an opening balance may hold orders and notional that a journal did not cause. If they exceed the
caps of their scope, the guards raise these caps to the present counters, so that no room is left for further orders.
"""

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change no table. The function ``upgrade_journal`` creates the guards after all migrations."""


def downgrade() -> None:
    """Change no table. The function ``upgrade_journal`` of the older code creates the older guards."""

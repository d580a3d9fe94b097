"""Change no table. Every upgrade creates the guards of the code, and this revision marks a change of the guards.

The guards now refuse orders of a session that the kill switch stopped. They also refuse to send an order unless its
reservation is counted in the order's own scopes. And they refuse any change of the columns that say what a counter
counts.
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Do nothing: the upgrade itself creates the guards."""


def downgrade() -> None:
    """Do nothing: the older code creates its own guards when it upgrades."""

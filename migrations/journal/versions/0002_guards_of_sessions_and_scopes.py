"""No table changes: the guards are made anew, as by every upgrade.

A session that was halted sends no more; a reservation is counted in the scopes that are its own; what a counter is of
stays.
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Nothing beside the guards."""


def downgrade() -> None:
    """Nothing: the older code makes its own guards when it upgrades."""

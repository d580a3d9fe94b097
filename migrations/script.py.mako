<%
    # What `alembic revision --autogenerate` found; a migration that was only named has no steps yet.
    steps = [some for some in (upgrades, downgrades) if some]
    quoted = lambda revision: repr(revision).replace("'", '"')
%>\
"""${message}."""

% if steps:
import sqlalchemy as sa
from alembic import op
% endif
% if imports:
${imports}
% endif
% if steps:

% endif
revision = ${quoted(up_revision)}
down_revision = ${quoted(down_revision)}
branch_labels = ${quoted(branch_labels)}
depends_on = ${quoted(depends_on)}


def upgrade() -> None:
    clean_up()
% if upgrades:
    ${upgrades}
% endif


def clean_up() -> None:
    """Say here what becomes of rows that break the new constraints (normalised, quarantined, deleted), and why."""
    raise NotImplementedError("write clean_up(); delete it and its call if no constraint becomes tighter")


def downgrade() -> None:
    raise NotImplementedError("refuse_to_lose() what the older schema has no place for, then undo upgrade()")
% if downgrades:
    ${downgrades}
% endif

<%
    # The steps that `alembic revision --autogenerate` found. Without --autogenerate there are none.
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
    """Explain here what happens to rows that break the new constraints (normalised, quarantined, deleted), and why."""
    raise NotImplementedError("write clean_up(), or delete it and its call if no constraint becomes tighter")


def downgrade() -> None:
    raise NotImplementedError("call refuse_to_lose() for rows that the older schema cannot hold, then undo upgrade()")
% if downgrades:
    ${downgrades}
% endif

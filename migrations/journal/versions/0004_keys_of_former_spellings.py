"""Keep the keys of orders whose signal was written in another form than the normal one.

From this revision on, every text of a signal is stored in Unicode's normal form NFC and without white space at its ends,
and an order's key contains its proposer. A signal that was planned before is found by the key it had then. If its text
was not in the normal form, the key of the normal form leads to it.
"""

import hashlib
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

Integer = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TEXTS = ("strategy", "strategy_version", "partition", "signal", "leg")
_AT_ONCE = 5_000


def upgrade() -> None:
    op.create_table(
        "former_keys",
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text(), nullable=False),
        sa.Column("intent_id", Integer, autoincrement=False, nullable=False),
        sa.CheckConstraint("length(idempotency_key) = 64", name=op.f("ck_former_keys_idempotency_key")),
        sa.ForeignKeyConstraint(
            ["intent_id", "mode"],
            ["intents.intent_id", "intents.mode"],
            name=op.f("fk_former_keys_intent_id_mode_intents"),
        ),
        sa.PrimaryKeyConstraint("mode", "idempotency_key", "intent_id", name=op.f("pk_former_keys")),
        sqlite_strict=True,
    )
    _keep_former_keys(op.get_bind())


def downgrade() -> None:
    raise NotImplementedError("a journal is never undone: keep it, and begin another in another place")


def _keep_former_keys(connection: sa.Connection) -> None:
    intents = sa.table("intents", *map(sa.column, ("intent_id", "mode", "environment", "subaccount", "proposal_id")))
    proposals = sa.table("proposals", *map(sa.column, ("proposal_id", *_TEXTS, "attempt")))
    former = sa.table("former_keys", *map(sa.column, ("mode", "idempotency_key", "intent_id")))
    found = connection.execute(
        sa.select(
            intents.c.intent_id,
            intents.c.mode,
            intents.c.environment,
            intents.c.subaccount,
            *[proposals.c[name] for name in (*_TEXTS, "attempt")],
        ).join(proposals, proposals.c.proposal_id == intents.c.proposal_id)
    )
    rows = []
    for intent_id, mode, environment, subaccount, *texts, attempt in found:
        normal = [unicodedata.normalize("NFC", text).strip() for text in texts]
        if normal != texts:
            key = _key("1", environment, str(subaccount), *normal, str(attempt))
            rows.append({"mode": mode, "idempotency_key": key, "intent_id": intent_id})
    for begin in range(0, len(rows), _AT_ONCE):
        connection.execute(sa.insert(former), rows[begin : begin + _AT_ONCE])


def _key(*parts: str) -> str:
    """Return the key of an order as version 1 of the key defines it."""
    text = "".join(f"{len(part.encode())}:{part}|" for part in parts)
    return hashlib.sha256(text.encode()).hexdigest()

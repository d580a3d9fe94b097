"""Check which scopes are marked as breached, with the records of breaches and reviews.

A record of kind ``breach`` names each scope that a fact made exceed its cap. A posting of kind ``review`` to the scope
clears it. A false mark would stop an account from trading; a missing mark would let it trade on.
"""

import json
from collections import defaultdict
from collections.abc import Iterator

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import audit_log, postings, scopes


def check_breaches(connection: sa.Connection) -> Iterator[str]:
    """Yield the scopes whose mark ``breached`` does not follow from the records of breaches and reviews.

    A record names a scope by its kind and key, which scopes of several sub-accounts share. A recorded breach is
    therefore unmarked only if none of these scopes is marked or was reviewed since.
    """
    amounts = [column for column in postings.c if column.name.startswith("d_")]
    changing = sa.select(postings.c.dedupe).where(
        postings.c.kind == "review", sa.or_(*[amount != 0 for amount in amounts])
    )
    yield from (f"{dedupe} is a review, but changes amounts" for dedupe in connection.scalars(changing))
    breaches = _newest_breaches(connection)
    reviewed = {
        row[0]: row[1]
        for row in connection.execute(
            sa.select(postings.c.scope_id, sa.func.max(postings.c.audit_seq))
            .where(postings.c.kind == "review")
            .group_by(postings.c.scope_id)
        )
    }
    accounted: defaultdict[str, bool] = defaultdict(bool)
    found = sa.select(scopes.c.scope_id, scopes.c.kind, scopes.c.key, scopes.c.breached).order_by(scopes.c.scope_id)
    for scope_id, kind, key, breached in connection.execute(found):
        name, review = f"{kind} {key}", reviewed.get(scope_id, -1)
        newest = breaches.get(name, -1)
        if breached and newest <= review:
            yield f"scope {name} is marked as breached, but no record since its last review says so"
        accounted[name] |= bool(breached) or review > newest
    yield from (
        f"record {seq} says that scope {name} is breached, but the scope is not marked and was not reviewed since"
        for name, seq in breaches.items()
        if not accounted[name]
    )


def _newest_breaches(connection: sa.Connection) -> dict[str, int]:
    """Return the number of the newest record that names each scope as breached."""
    newest: dict[str, int] = {}
    found = sa.select(audit_log.c.seq, audit_log.c.body).where(audit_log.c.kind == "breach").order_by(audit_log.c.seq)
    for seq, body in connection.execute(found):
        newest |= dict.fromkeys(json.loads(body).get("scopes", []), seq)
    return newest

"""Recomputation of the table ``former_keys``, by which a signal of an earlier version is found in its normal spelling.

A missing row would let an old signal be ordered a second time. A false row would block a signal that was never ordered.
"""

from collections.abc import Iterator
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.tables import former_keys, intents, proposals
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.idempotency import former_idempotency_key
from kalshi_pipelines.execution.orders.proposals import Signal
from kalshi_pipelines.execution.orders.signal_text import normalised_signal

_AT_ONCE: Final = 5_000
_SIGNALS: Final = sa.select(
    intents.c.intent_id,
    intents.c.mode,
    intents.c.idempotency_key,
    intents.c.environment,
    intents.c.subaccount,
    *[proposals.c[name] for name in ("strategy", "strategy_version", "partition", "signal", "leg", "attempt")],
).join(proposals, proposals.c.proposal_id == intents.c.proposal_id)


def check_former_keys(connection: sa.Connection) -> Iterator[str]:
    """Yield the problems of former keys: missing rows, and rows that no order explains."""
    found = sa.select(former_keys.c.intent_id, former_keys.c.mode, former_keys.c.idempotency_key)
    there = {tuple(row) for row in connection.execute(found)}
    wanted = set(_recomputed(connection))
    yield from (f"intent {row[0]}: the former key of its signal is missing" for row in sorted(wanted - there))
    yield from (f"intent {row[0]}: the stored former key is not of its signal" for row in sorted(there - wanted))


def _recomputed(connection: sa.Connection) -> Iterator[tuple[int, str, str]]:
    for intent_id, mode, key, environment, subaccount, *texts in connection.execute(
        _SIGNALS.execution_options(yield_per=_AT_ONCE)
    ):
        signal, account = Signal(*texts), Account(environment, subaccount)
        normal = normalised_signal(signal)
        if normal != signal and key == former_idempotency_key(account, signal):
            yield intent_id, mode, former_idempotency_key(account, normal)

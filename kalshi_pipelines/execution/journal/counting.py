"""How many contracts of an order each scope of the ledger counts.

The scopes of the account, the event and the day hold the whole position. They count every contract of an order, and a
sale of held contracts adds nothing to their worst loss except its fees.

The scopes of a session and of an hour hold only the contracts that were traded in them. There, a close of a position
that was taken elsewhere would look like a new short position. Such contracts are not counted in these scopes, and the
scope stays a complete ledger of the contracts that it counts. The fills of an order first use up the contracts that a
scope does not count. A dry run has no scope that holds the position, so all its scopes count in this way.
"""

from dataclasses import replace
from typing import Final

from kalshi_pipelines.execution.journal.records import Intent, Mode, ScopeKind
from kalshi_pipelines.execution.orders.worst_case import Exposure

#: The kinds of scope that hold the whole position of a live account.
HOLDING_KINDS: Final = frozenset({ScopeKind.ACCOUNT, ScopeKind.EVENT, ScopeKind.DAY})
_NOTHING: Final = Exposure()


def counted_centicontracts(intent: Intent, kind: ScopeKind, closable: int) -> int:
    """Return how many centi-contracts of an order a scope counts.

    Args:
        intent: The order, before it is reserved.
        kind: The kind of the scope.
        closable: The centi-contracts that an order of this side could close in the scope's own ledger.
    """
    if intent.mode is Mode.LIVE and kind in HOLDING_KINDS:
        return intent.count_centicontracts
    taken_elsewhere = intent.closing_centicontracts - min(intent.closing_centicontracts, closable)
    return intent.count_centicontracts - taken_elsewhere


def view_of_scope(intent: Intent, counted: int) -> Intent:
    """Return an order as a scope sees it that counts only some of the order's contracts.

    A scope that counts no contract of an order does not count the order's fees either. They belong to the scopes that
    hold the closed position.
    """
    elsewhere = intent.count_centicontracts - counted
    if elsewhere == 0:
        return intent
    reported = intent.reported_filled_centicontracts
    return replace(
        intent,
        count_centicontracts=counted,
        filled_centicontracts=max(0, intent.filled_centicontracts - elsewhere),
        reported_filled_centicontracts=None if reported is None else max(0, reported - elsewhere),
        fee_bound_microdollars=intent.fee_bound_microdollars if counted else 0,
        fees_microdollars=intent.fees_microdollars if counted else 0,
    )


def counted_exposure(intent: Intent, counted: int) -> Exposure:
    """Return the exposure that a scope reserves for the contracts of an order that it counts."""
    if counted == 0:
        return _NOTHING
    return Exposure.of_resting(intent.side, intent.price_centicents, counted, intent.fee_bound_microdollars)

"""The states of an order intent and the transitions between them. The journal's foreign keys forbid other transitions.

::

    PLANNED -> DENIED* | RESERVED
    RESERVED -> ABANDONED* | SIMULATED* | SENDING
    SENDING -> RESTING | EXECUTED* | CANCELED* | REJECTED* | UNKNOWN
    UNKNOWN -> RESTING | EXECUTED* | CANCELED* | ABSENT*
    RESTING -> PENDING_CANCEL | EXECUTED* | CANCELED*
    PENDING_CANCEL -> RESTING | EXECUTED* | CANCELED*         (* final)
"""

from enum import StrEnum
from typing import Final


class OrderState(StrEnum):
    """The state of an order intent."""

    PLANNED = "planned"
    DENIED = "denied"
    RESERVED = "reserved"
    ABANDONED = "abandoned"
    SIMULATED = "simulated"
    SENDING = "sending"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    ABSENT = "absent"
    RESTING = "resting"
    PENDING_CANCEL = "pending_cancel"
    EXECUTED = "executed"
    CANCELED = "canceled"


class Writer(StrEnum):
    """The component that records a transition of an order."""

    EXECUTOR = "executor"
    RECONCILER = "reconciler"


_S = OrderState
LEGAL_TRANSITIONS: Final[dict[OrderState, tuple[OrderState, ...]]] = {
    _S.PLANNED: (_S.DENIED, _S.RESERVED),
    _S.RESERVED: (_S.ABANDONED, _S.SIMULATED, _S.SENDING),
    _S.SENDING: (_S.RESTING, _S.EXECUTED, _S.CANCELED, _S.REJECTED, _S.UNKNOWN),
    _S.UNKNOWN: (_S.RESTING, _S.EXECUTED, _S.CANCELED, _S.ABSENT),
    _S.RESTING: (_S.PENDING_CANCEL, _S.EXECUTED, _S.CANCELED),
    _S.PENDING_CANCEL: (_S.RESTING, _S.EXECUTED, _S.CANCELED),
}

FINAL_STATES: Final = frozenset(state for state in OrderState if state not in LEGAL_TRANSITIONS)
"""Final states, which an intent never leaves."""

UNRESOLVED_STATES: Final = frozenset({_S.SENDING, _S.UNKNOWN})
"""States in which it is unknown whether the exchange has the order.

An order in such a state blocks its market for other orders.
"""

TRIED_IN_VAIN: Final = frozenset({_S.DENIED, _S.ABANDONED, _S.REJECTED, _S.ABSENT, _S.CANCELED})
"""Final states after which the same signal may be tried again, if the order has no fills."""

OPEN_STATES: Final = frozenset({_S.RESERVED, _S.SENDING, _S.UNKNOWN, _S.RESTING, _S.PENDING_CANCEL})
"""Open states, in which the order's reservation is still held."""

RESTING_STATES: Final = frozenset({_S.RESTING, _S.PENDING_CANCEL})
"""States of orders that rest at the exchange as far as the journal knows, so that they can be canceled by their id."""

NEVER_THERE: Final = frozenset({_S.PLANNED, _S.DENIED, _S.RESERVED, _S.ABANDONED, _S.SIMULATED, _S.REJECTED, _S.ABSENT})
"""States in which the exchange cannot have the order, because it was never sent or was not accepted."""

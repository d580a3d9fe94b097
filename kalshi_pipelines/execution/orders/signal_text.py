"""The normal form of the texts that identify an order: the parts of its signal, and its proposer's name.

One signal must never become two orders because it was written in two ways. Every way into the inbox therefore brings
these texts into the same form, and a stored proposal in another form is denied.
"""

import re
import unicodedata
from dataclasses import replace
from typing import Final

from kalshi_pipelines.execution.orders.proposals import ProposedOrder, Signal

#: Characters that Python calls printable and no screen shows: joiners, fillers and variation selectors. With one of
#: them a text looks like another text. The source is Unicode's property Default_Ignorable_Code_Point.
_INVISIBLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def normalise(text: str) -> str:
    """Return a text in Unicode's normal form NFC, without white space at its ends.

    White space inside a text is kept: "a b" and "a  b" are different texts.
    """
    return unicodedata.normalize("NFC", text).strip()


def is_normal(text: str) -> bool:
    """Return whether a text is in its normal form and every character of it can be seen."""
    return text == normalise(text) and is_visible(text)


def is_visible(text: str) -> bool:
    """Return whether a text has no character that a screen does not show.

    Such characters are control characters, white space other than the space, marks that change the direction of
    writing, and characters without a width.
    """
    return text.isprintable() and _INVISIBLE.search(text) is None


def normalised_signal(signal: Signal) -> Signal:
    """Return a signal with all its texts in the normal form."""
    return Signal(
        normalise(signal.strategy),
        normalise(signal.strategy_version),
        normalise(signal.partition),
        normalise(signal.signal),
        normalise(signal.leg),
        signal.attempt,
    )


def normalised_order(order: ProposedOrder) -> ProposedOrder:
    """Return an order whose signal and proposer's name are in the normal form."""
    return replace(order, signal=normalised_signal(order.signal), actor_name=normalise(order.actor_name))

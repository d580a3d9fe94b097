"""Detection of texts that the exchange sends in a language other than English.

Since 2026-08-27 the exchange translates its texts for clients that ask for Spanish or Portuguese. So two
clients that ask for different languages compute different hashes of the rules of the same market.
"""

import re
from typing import Final

_WORDS: Final = re.compile(r"[^\W\d_]+")
_ENGLISH: Final = frozenset(
    """the and or of if will be is are to in for by on with at than then this that before after from market win wins
    resolve resolves yes no not any who what which how""".split()  # noqa: SIM905
)
_FOREIGN: Final = frozenset(
    """el la los las un una del al que en por para con si se es su sus más este esta antes entonces mercado gana ganará
    resuelve será según como o a do da dos das um uma em não na ao mais então ganha vencer vence le les des und der
    die das ist nicht wird il che per""".split()  # noqa: SIM905
)
_UNMISTAKABLE: Final = re.compile(r"[¿¡\u0400-\u04ff\u0590-\u06ff\u3040-\u30ff\u4e00-\u9fff\uac00-\ud7af]")
_FEWEST_WORDS: Final = 3


def is_foreign(text: str) -> bool:
    """Return whether a text is certainly not English. Short texts and mere names count as English."""
    if not text:
        return False
    words = [word.lower() for word in _WORDS.findall(text[:2_000])]
    english = sum(word in _ENGLISH for word in words)
    foreign = sum(word in _FOREIGN for word in words)
    if len(_UNMISTAKABLE.findall(text[:2_000])) > 0 and english == 0:
        return True
    return foreign >= _FEWEST_WORDS and foreign > 2 * english

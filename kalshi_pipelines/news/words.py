"""Splitting of titles and texts into comparable words, shared by grouping, relevance, sentiment and search."""

import re
from functools import lru_cache
from typing import Final

#: Words that are too common to describe the subject of a text.
STOP_WORDS: Final = frozenset(
    str.split(
        "a about after again all also am an and any are as at be because been before being between both but by "
        "can could did do does doing down during each few for from further get gets had has have having he her "
        "here hers him his how i if in into is it its itself just may me might more most must my new no nor not "
        "now of off on once only or other our out over own per said same say says she should so some such than "
        "that the their them then there these they this those through to too under until up upon very via was we "
        "were what when where which while who whom why will with would you your s t re ve ll d m"
    )
)
_WORD: Final = re.compile(r"[^\W_]+(?:[.,]\d+)*(?:['\u2019][^\W\d_]+)?")
_THOUSANDS: Final = re.compile(r",(?=\d{3}\b)")


def words(text: str) -> list[str]:
    """Return the words of a text in order and in lower case, with ``1,000`` written as ``1000``."""
    return [_normal(word) for word in _WORD.findall(text.casefold())]


def words_as_written(text: str) -> list[tuple[str, str]]:
    """Return pairs for the words of a text: the word as `words` returns it, and its original spelling."""
    return [(_normal(word.casefold()), word) for word in _WORD.findall(text)]


def content_words(text: str) -> list[str]:
    """Return the stems of the words of a text without stop words, in order."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def is_number(word: str) -> bool:
    """Return whether a word begins with a digit, as an amount, a year or a score does."""
    return word[:1].isdigit()


def _normal(word: str) -> str:
    if word.isalnum():
        return word
    if word[0].isdigit():
        return _THOUSANDS.sub("", word)
    return word.partition("'")[0].partition("\u2019")[0]


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Return a word without common English endings, so that ``rates`` and ``rate`` share a stem."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    for ending, instead in (("sses", "ss"), ("ies", "y"), ("ing", ""), ("ed", ""), ("es", ""), ("s", "")):
        if word.endswith(ending):
            if ending == "s" and word.endswith(("ss", "us", "is")):
                return word
            cut = word[: len(word) - len(ending)] + instead
            if len(cut) < 3:
                return word
            if ending in ("ing", "ed", "es"):
                return (
                    cut[:-1] if len(cut) > 3 and cut[-1] == cut[-2] and cut[-1] not in "lsz" else cut.removesuffix("e")
                )
            return cut.removesuffix("e") if ending == "s" else cut
    return word.removesuffix("e")

"""The language of a text, from its provider or from the most common words of six languages."""

import re
from collections import Counter
from typing import Final

from kalshi_pipelines.news.words import words

ENGLISH: Final = "en"
_TAG: Final = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")
_MOST_WORDS: Final = 200
_LEAST_HITS: Final = 3
_COMMON: Final = {
    "en": "the and of to in is that for with was are on has its from will have be by as at",
    "es": "el la los las de que y en un una por con para se del es su al como más",
    "pt": "o os as de que e em um uma por com para se do da não no na ao mais",
    "fr": "le la les de des et en un une du que pour dans est sur au avec par il ne",
    "de": "der die das und in den von zu mit ist im für auf ein eine des dem nicht als auch",
    "it": "il lo la gli di che e in un una per con del della è si da non sono nel",
}
_LANGUAGES_OF: Final = {
    word: tuple(language for language, common in _COMMON.items() if word in common.split())
    for common in _COMMON.values()
    for word in common.split()
}


def language_of(stated: str | None, text: str) -> str | None:
    """Return the stated or detected language tag in lower case; ``None`` if the text is too short or mixed."""
    if stated and len(stated) <= 35 and _TAG.fullmatch(stated.strip()):
        return stated.strip().replace("_", "-").lower()
    hits: Counter[str] = Counter()
    for word in words(text[:2_000])[:_MOST_WORDS]:
        hits.update(_LANGUAGES_OF.get(word, ()))
    ordered = hits.most_common(2)
    if not ordered or ordered[0][1] < _LEAST_HITS:
        return None
    if len(ordered) > 1 and ordered[0][1] < 1.5 * ordered[1][1]:
        return None
    return ordered[0][0]


def is_english(language: str | None) -> bool:
    """Return whether a language is English. An unknown language counts as English."""
    return language is None or language.partition("-")[0] == ENGLISH

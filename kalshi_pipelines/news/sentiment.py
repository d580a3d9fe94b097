"""The sentiment of English text, from a lexicon of good words, bad words, negations and degrees.

The score is the tone of the words and ignores their effect on a market: *rates cut* is negative for every market.
The method:

* A word of the lexicon counts 1 or 2, as good or bad. Words in the title count twice.
* A negation among the three words before a lexicon word reverses and halves its value. A degree word (*very*, for
  example) directly before a lexicon word multiplies or divides the lexicon word's value by 1.5.
* The score is ``s / sqrt(s * s + 15)`` for a sum ``s``, between -1 and 1. It is positive above 0.1 and negative below
  -0.1.
* The confidence grows with the number of words found, from 0.2 without any word to 0.95. It measures nothing else.

Each row stores the method's name, which contains a version. Raise the version after any change of a word or a rule.
"""

import math
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.news.words import words

METHOD: Final = "lexicon 1"
_STRONG_GOOD: Final = (
    "breakthrough landslide record-breaking soar soars soared surge surges surged triumph triumphs thrive "
    "thrives booming boom skyrocket skyrockets excellent outstanding"
)
_GOOD: Final = (
    "gain gains gained rise rises rose rising rally rallies rallied climb climbs climbed jump jumps jumped grow "
    "grows grew growth win wins won winning winner victory lead leads leading ahead beat beats success "
    "successful succeed succeeds approve approves approved approval agree agrees agreed agreement deal peace "
    "ceasefire recover recovers recovered recovery rebound rebounds rebounded improve improves improved "
    "improvement strong stronger strongest strength boost boosts boosted bullish optimism optimistic hope hopes "
    "hopeful confidence confident support supports supported upgrade upgrades upgraded profit profits profitable "
    "surplus positive good better best great safe safety stable stability resolve resolves resolved benefit "
    "benefits favorite favored popular praise praised advance advances advanced progress expand expands expanded "
    "expansion exceed exceeds exceeded top tops topped robust healthy ease eases eased relief award awards "
    "awarded launch launches launched secure secures secured"
)
_BAD: Final = (
    "fall falls fell falling drop drops dropped decline declines declined lose loses lost losing loss losses "
    "slip slips slipped slide slides slid sink sinks sank weak weaker weakest weakness fail fails failed failure "
    "miss misses missed cut cuts lower lowered reject rejects rejected deny denies denied block blocks blocked "
    "delay delays delayed concern concerns concerned worry worries worried fear fears feared risk risks risky "
    "threat threats threaten threatens threatened warn warns warned warning warnings doubt doubts doubtful "
    "trouble troubled bearish pessimism pessimistic negative bad worse poor deficit debt layoff layoffs strike "
    "strikes protest protests dispute disputes lawsuit lawsuits sue sues sued fine fined penalty probe "
    "investigation scandal accuse accuses accused allegation allegations charge charged guilty resign resigns "
    "resigned quit suspend suspends suspended halt halts halted cancel cancels cancelled shortage shortages "
    "inflation unemployment injury injured injuries victim victims unrest tension tensions conflict downgrade "
    "downgrades downgraded slump slumps slumped shrink shrinks shrank slowdown uncertain uncertainty volatile "
    "volatility hurt hurts damage damaged opposition oppose opposes opposed defeat defeats defeated"
)
_STRONG_BAD: Final = (
    "crash crashes crashed collapse collapses collapsed plunge plunges plunged plummet plummets plummeted "
    "disaster disastrous catastrophe catastrophic crisis panic war attack attacks attacked kill kills killed "
    "death deaths dead die dies died bankrupt bankruptcy default defaults fraud recession depression terror "
    "terrorist explosion worst meltdown devastating devastated"
)
_NEGATIONS: Final = frozenset(
    str.split(
        "not no never neither nor without hardly barely isn wasn aren weren don doesn didn won can cannot couldn "
        "wouldn shouldn hasn haven hadn fails failed"
    )
)
_STRONGER: Final = frozenset(
    str.split("very extremely significantly sharply dramatically massively hugely deeply strongly")
)
_WEAKER: Final = frozenset(str.split("slightly somewhat modestly little partly marginally"))
_LEXICON: Final[dict[str, float]] = {
    **dict.fromkeys(_GOOD.split(), 1.0),
    **dict.fromkeys(_BAD.split(), -1.0),
    **dict.fromkeys(_STRONG_GOOD.split(), 2.0),
    **dict.fromkeys(_STRONG_BAD.split(), -2.0),
}
_REACH: Final = 3
_NEGATED: Final = -0.5
_DEGREE: Final = 1.5
_IN_TITLE: Final = 2.0
_SOFTNESS: Final = 15.0
_NEUTRAL: Final = 0.1
_MOST_TEXT: Final = 10_000
_MOST_KEYWORDS: Final = 10


@dataclass(frozen=True)
class Sentiment:
    """The sentiment of a text.

    Attributes:
        score: A number from -1 to 1 with four decimals.
        label: ``positive``, ``negative`` or ``neutral``.
        confidence: A number from 0.2 to 0.95 that grows with the number of lexicon words found.
        keywords: The lexicon words found, the strongest first.
    """

    score: float
    label: str
    confidence: float
    keywords: tuple[str, ...]


def sentiment_of(title: str, text: str | None) -> Sentiment:
    """Return the sentiment of an article from its title and text."""
    found: dict[str, float] = {}
    hits = _add(found, title, _IN_TITLE) + _add(found, (text or "")[:_MOST_TEXT], 1.0)
    total = sum(found.values())
    score = round(total / math.sqrt(total * total + _SOFTNESS), 4)
    label = "positive" if score > _NEUTRAL else "negative" if score < -_NEUTRAL else "neutral"
    keywords = sorted(found, key=lambda word: (-abs(found[word]), word))[:_MOST_KEYWORDS]
    return Sentiment(score, label, round(min(0.2 + 0.1 * hits, 0.95), 2), tuple(keywords))


def _add(found: dict[str, float], text: str, weight: float) -> int:
    """Add the value of each lexicon word in a text to the sum of that word. Return the number of lexicon words."""
    written = words(text)
    hits = 0
    for position, word in enumerate(written):
        worth = _LEXICON.get(word)
        if worth is None:
            continue
        hits += 1
        before = written[max(position - _REACH, 0) : position]
        if before and before[-1] in _STRONGER:
            worth *= _DEGREE
        elif before and before[-1] in _WEAKER:
            worth /= _DEGREE
        if not _NEGATIONS.isdisjoint(before):
            worth *= _NEGATED
        found[word] = found.get(word, 0.0) + worth * weight
    return hits

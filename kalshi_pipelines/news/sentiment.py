"""How an English text reads, by a lexicon of its own: words of good and bad tidings, negations and degrees.

It is the tone of the words, not what they mean for a market: *rates cut* reads negative, whoever profits. The method:

* a word of the lexicon is worth 1 or 2, good or bad; in the title it counts twice;
* a negation in the three words before turns it round and halves it; a word of degree before it makes it half as
  strong again, or weaker;
* the score is ``s / sqrt(s * s + 15)``, between -1 and 1; above 0.1 it is positive, below -0.1 negative;
* the confidence grows with the number of words found, from 0.2 without any to 0.95, and says nothing more.

The version is part of the method's name, and belongs to the row: change a word or a rule, and it has to be raised.
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
    """How a text reads.

    Attributes:
        score: From -1 to 1, to four decimals.
        label: ``positive``, ``negative`` or ``neutral``.
        confidence: From 0.2 to 0.95: how many words it rests on.
        keywords: The words it rests on, those that count most first.
    """

    score: float
    label: str
    confidence: float
    keywords: tuple[str, ...]


def sentiment_of(title: str, text: str | None) -> Sentiment:
    """How an article reads."""
    found: dict[str, float] = {}
    hits = _add(found, title, _IN_TITLE) + _add(found, (text or "")[:_MOST_TEXT], 1.0)
    total = sum(found.values())
    score = round(total / math.sqrt(total * total + _SOFTNESS), 4)
    label = "positive" if score > _NEUTRAL else "negative" if score < -_NEUTRAL else "neutral"
    keywords = sorted(found, key=lambda word: (-abs(found[word]), word))[:_MOST_KEYWORDS]
    return Sentiment(score, label, round(min(0.2 + 0.1 * hits, 0.95), 2), tuple(keywords))


def _add(found: dict[str, float], text: str, weight: float) -> int:
    """Add the lexicon's words of a text; how many there are."""
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

"""How much an article has to do with a market or event: a score of words, the same on every computer.

The score is the weight of the subject's words that the article has, divided by the weight of all of them. A word weighs
by what it is: names, and numbers beside them, 3; other words 1; words that stand in every title of a prediction market
(*win*, *above*, *price*) 0.3. In the title a word counts fully, in the text 0.6. Who shares no name with a subject that
has names scores at most 0.3.

It is a filter and a weight, not a judgement: an article that scores 1 uses the words of the market, no more.
"""

from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.news.words import STOP_WORDS, is_number, stem, words, words_as_written

METHOD: Final = "words 1"
#: Below this an article that a search returned is not linked.
LEAST_FOUND: Final = 0.2
#: Below this an article that nobody searched for, but a feed brought, is not linked.
LEAST_FROM_FEED: Final = 0.55
_NAME: Final = 3.0
_NUMBER: Final = 1.5
_WORD: Final = 1.0
_USUAL: Final = 0.3
_IN_TEXT: Final = 0.6
_WITHOUT_NAME: Final = 0.3
_MOST_TEXT: Final = 3_000
_USUAL_WORDS: Final = frozenset(
    stem(word)
    for word in str.split(
        "win wins winner above below least most more less exact exactly happen event price range number total value "
        "high low higher lower level rate points point percent game match team season week month year day today "
        "tomorrow january february march april may june july august september october november december monday "
        "tuesday wednesday thursday friday saturday sunday end start before after market markets next first second "
        "time times reach hit score candidate result outcome"
    )
)


@dataclass(frozen=True)
class Subject:
    """The words of a market's or event's titles, each with its weight.

    Attributes:
        weights: By stem.
        names: Those that are written like names.
    """

    weights: dict[str, float]
    names: frozenset[str]

    @property
    def total(self) -> float:
        """The weight of all words."""
        return sum(self.weights.values())


def subject_words(text: str) -> Subject:
    """The words of a subject. The first word's capital says nothing, so it is a name only if it is one elsewhere."""
    weights: dict[str, float] = {}
    names: set[str] = set()
    for position, (word, written) in enumerate(words_as_written(text)):
        stemmed = stem(word)
        if word in STOP_WORDS:
            continue
        if stemmed in _USUAL_WORDS:
            weight = _USUAL
        elif is_number(word):
            weight = _NUMBER
        elif written[0].isupper() and (position > 0 or written.isupper()):
            weight = _NAME
            names.add(stemmed)
        else:
            weight = _WORD
        weights[stemmed] = max(weight, weights.get(stemmed, 0.0))
    return Subject(weights, frozenset(names))


def stems_of(text: str | None) -> frozenset[str]:
    """The stems of a text's words, as far as it is read."""
    return frozenset(map(stem, words(text[:_MOST_TEXT]))) if text else frozenset()


def relevance(subject: Subject, title: frozenset[str], text: frozenset[str]) -> float:
    """How much an article with these words is about a subject, 0 to 1, to three decimals."""
    total = subject.total
    if not total:
        return 0.0
    in_title = sum(weight for word, weight in subject.weights.items() if word in title)
    in_text = sum(weight for word, weight in subject.weights.items() if word in text and word not in title)
    score = (in_title + _IN_TEXT * in_text) / total
    if subject.names and subject.names.isdisjoint(title) and subject.names.isdisjoint(text):
        score = min(score, _WITHOUT_NAME)
    return round(min(score, 1.0), 3)

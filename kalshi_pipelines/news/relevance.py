"""The relevance of an article to a market or event: a deterministic score from shared words.

The subject is the text of the titles of a market or event. The score is the weight of the subject's words that appear
in the article, divided by the weight of all words of the subject. Names weigh 3, numbers 1.5 and other words 1. Words
that many markets share (*win*, *above*, *price*) weigh 0.3. A word in the article's title counts with its full weight.
A word that is only in the article's text counts with 0.6 of its weight. If the subject has names and the article shares
no name, the score is at most 0.3.

The score only compares words. An article that scores 1 uses the words of the market, which does not prove that the
article is about the market.
"""

from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.news.words import STOP_WORDS, is_number, stem, words, words_as_written

METHOD: Final = "words 1"
#: The lowest score at which an article from a search is linked.
LEAST_FOUND: Final = 0.2
#: The lowest score at which an article from a feed without a query is linked.
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
    """The words of the titles of a market or event, with their weights.

    Attributes:
        weights: The weight of each word by its stem.
        names: The stems of words that are written like names.
    """

    weights: dict[str, float]
    names: frozenset[str]

    @property
    def total(self) -> float:
        """The sum of the weights of all words."""
        return sum(self.weights.values())


def subject_words(text: str) -> Subject:
    """Return the weighted words of a subject. The first word is a name only if all its letters are capitals."""
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
    """Return the stems of the words in the first 3,000 characters of a text."""
    return frozenset(map(stem, words(text[:_MOST_TEXT]))) if text else frozenset()


def relevance(subject: Subject, title: frozenset[str], text: frozenset[str]) -> float:
    """Return the relevance of an article's words to a subject: a number from 0 to 1 with three decimals."""
    total = subject.total
    if not total:
        return 0.0
    in_title = sum(weight for word, weight in subject.weights.items() if word in title)
    in_text = sum(weight for word, weight in subject.weights.items() if word in text and word not in title)
    score = (in_title + _IN_TEXT * in_text) / total
    if subject.names and subject.names.isdisjoint(title) and subject.names.isdisjoint(text):
        score = min(score, _WITHOUT_NAME)
    return round(min(score, 1.0), 3)

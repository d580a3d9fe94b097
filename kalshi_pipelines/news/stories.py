"""Grouping of articles that tell the same story: copies of an agency's text, and articles with an edited title.

The rules below apply in this order. The result is deterministic: the same articles in the same order give the same
stories.

1. Two articles published more than three days apart never share a story. An undated article was published up to a
   week before it was found. If it was found more than three days after another article, the two share a story only
   if they have the same title or text.
2. Contradicting numbers in the titles, or words of opposite directions (*rises*, *falls*), keep two articles apart.
3. Articles whose titles have the same words share a story.
4. Articles share a story if one title lacks at most one word of the other, and at least four words are shared.
5. Articles share a story if their texts begin alike, their titles share a word, and no name is exchanged.
6. Articles share a story if their titles share most words and no name is exchanged. *High in Miami* and *High in
   Boston* exchange a name.

An article joins the most similar story and stays there. Stories are never merged or split afterwards.
"""

import re
import string
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.news.words import STOP_WORDS, is_number, stem, words_as_written
from kalshi_pipelines.units import DAY_US

#: The longest time between two articles of one story, in microseconds.
WINDOW_US: Final = 3 * DAY_US
#: The longest time assumed between publication and collection of an undated article, in microseconds.
UNDATED_US: Final = 7 * DAY_US
_SKETCH_SIZE: Final = 24
_SKETCH_WORDS: Final = 80
_SKETCH_CHARACTERS: Final = 800
_PUNCTUATION: Final = dict.fromkeys(map(ord, string.punctuation + "\u2018\u2019\u201c\u201d\u2013\u2014\u2026"), " ")
_SHINGLE: Final = 4
_LEAST_TEXT_WORDS: Final = 24
_LEAST_SHARED: Final = 4
_LEAST_DIFFERENT: Final = 2
_ALIKE_TITLES: Final = 0.6
_SAME_TITLES: Final = 0.8
_ALIKE_TEXTS: Final = 0.5
_SAME_TEXTS: Final = 0.8
_OTHER_TEXTS: Final = 0.1
#: The largest number of known articles that one word of a title finds. A word that is in the titles of more known
#: articles is common: it finds only the newest of these articles.
_COMMON: Final = 64
_RAREST: Final = 4
#: The smallest gap in similarity between the most similar story and the second most similar story. If the gap is
#: smaller, an article joins neither story.
_CLEARLY: Final = 0.02
_MOST_CANDIDATES: Final = 12
_SKETCH_KEYS: Final = 4
_NONE: Final[Sequence[int]] = ()
_AGENCY: Final = re.compile(
    r"^(?:update\s*\d*|exclusive|breaking(?: news)?|watch|live(?: updates?)?|wrapup\s*\d*|correct(?:ed|ion)|just in|"
    r"developing|analysis|explainer|opinion|factbox|refile)\s*[-:|\u2013\u2014]\s*|"
    r"^\(?(?:reuters|ap|afp|upi)\)?\s*[-:|\u2013\u2014]\s*",
    re.IGNORECASE,
)
_OUTLET: Final = re.compile(r"\s+(?:[-\u2013\u2014|\u00b7]|::)\s+[^-\u2013\u2014|\u00b7:]{2,40}$")
_OPPOSITES: Final = (
    ("rise rises rose rising gain gains gained climb climbs climbed jump jumps jumped surge surges surged up soar "
     "soars soared rally rallies rallied higher increase increases increased advance advances advanced raise raises "
     "raised hike hikes hiked grow grows grew expand expands expanded",
     "fall falls fell falling drop drops dropped decline declines declined slip slips slipped plunge plunges plunged "
     "down slump slumps slumped sink sinks sank lower decrease decreases decreased retreat retreats retreated cut cuts "
     "lowers lowered shrink shrinks shrank contract contracts contracted"),
    ("win wins won beat beats defeat defeats defeated victory", "lose loses lost loss"),
    ("approve approves approved pass passes passed accept accepts accepted back backs backed",
     "reject rejects rejected block blocks blocked deny denies denied veto vetoes vetoed oppose opposes opposed"),
    ("resume resumes resumed start starts started begin begins began launch launches launched open opens opened",
     "suspend suspends suspended end ends ended halt halts halted stop stops stopped close closes closed cancel "
     "cancels cancelled"),
    ("above over exceeds tops", "below under misses"),
)  # fmt: skip
_DIRECTION: Final = {
    stem(word): (axis, side)
    for axis, sides in enumerate(_OPPOSITES)
    for side, text in enumerate(sides)
    for word in text.split()
}


@dataclass(frozen=True, slots=True)
class Features:
    """The features of an article that grouping compares.

    Attributes:
        published_us: The time of publication, or of collection if unknown, in microseconds since 1970 UTC.
        tokens: The stems of the title's words without stop words.
        names: The stems written like names. In a title with mostly capitals, every word can be a name.
        numbers: The numbers of the title.
        directions: Directions that the title names, such as *rises*. Each direction has two numbers. The first
            identifies a pair of opposites, such as *rises* and *falls*. The second, 0 or 1, is the side of the pair.
        sketch: The smallest hashes of word runs at the beginning of the text; empty if the text is too short.
        is_dated: Whether the time of publication is known.
    """

    published_us: int
    tokens: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[str]
    directions: frozenset[tuple[int, int]]
    sketch: frozenset[int]
    is_dated: bool = True


def features(title: str, published_us: int, sketch: bytes | None, *, is_dated: bool = True) -> Features:
    """Return the features of an article with a clean title."""
    core = _core_title(title)
    tokens: set[str] = set()
    directions: set[tuple[int, int]] = set()
    names: set[str] = set()
    numbers: set[str] = set()
    capitals = 0
    for word, as_written in words_as_written(core):
        stemmed = stem(word)
        if stemmed in _DIRECTION:
            directions.add(_DIRECTION[stemmed])
        if word in STOP_WORDS:
            continue
        tokens.add(stemmed)
        if is_number(word):
            numbers.add(word)
        elif not as_written[0].islower():
            names.add(stemmed)
            capitals += 1
    # In a title with mostly capitals, a capital does not mark a name, so each word might be a name.
    if capitals * 4 >= len(tokens) * 3:
        names = {token for token in tokens if token not in _DIRECTION}
    unpack = frozenset(_unpack(sketch)) if sketch else frozenset()
    return Features(
        published_us, frozenset(tokens), frozenset(names), frozenset(numbers), frozenset(directions), unpack, is_dated
    )


def sketch_of(text: str | None) -> bytes | None:
    """Return the smallest hashes of four-word runs at the beginning of a text, 4 bytes each; None for a short text."""
    if not text:
        return None
    begun = text[:_SKETCH_CHARACTERS].casefold().translate(_PUNCTUATION).split()[:_SKETCH_WORDS]
    if len(begun) < _LEAST_TEXT_WORDS:
        return None
    shingles = zip(*(begun[start:] for start in range(_SHINGLE)), strict=False)
    hashes = {zlib.crc32(" ".join(shingle).encode()) for shingle in shingles}
    return b"".join(value.to_bytes(4, "big") for value in sorted(hashes)[:_SKETCH_SIZE])


def _unpack(sketch: bytes) -> Iterable[int]:
    return (int.from_bytes(sketch[start : start + 4], "big") for start in range(0, len(sketch), 4))


def _core_title(title: str) -> str:
    """Return a title without an agency's prefix and an outlet's suffix."""
    core = _AGENCY.sub("", title)
    without_outlet = _OUTLET.sub("", core)
    return without_outlet if len(without_outlet) * 2 >= len(core) else core


def likeness(one: Features, other: Features) -> float:
    """Return the similarity of two articles, which is above 0 only if they tell the same story."""
    shared = one.tokens & other.tokens
    if not shared or _are_contradictory(one, other):
        return 0.0
    titles = len(shared) / (len(one.tokens) + len(other.tokens) - len(shared))
    if abs(one.published_us - other.published_us) > WINDOW_US:
        return _likeness_of_undated(one, other, titles)
    return 1.0 if titles == 1.0 and len(shared) > 1 else _likeness_of_dated(one, other, shared, titles)


def _likeness_of_dated(one: Features, other: Features, shared: frozenset[str], titles: float) -> float:
    """Return the similarity of two articles from about the same time whose titles share words."""
    only_one, only_other = one.tokens - shared, other.tokens - shared
    exchanged = not (only_one.isdisjoint(one.names) or only_other.isdisjoint(other.names))
    texts = _alike(one.sketch, other.sketch) if one.sketch and other.sketch else None
    if texts is not None and texts >= (_SAME_TEXTS if exchanged else _ALIKE_TEXTS):
        return max(texts, titles)
    if (
        exchanged
        or len(shared) < _LEAST_SHARED
        or (texts is not None and texts < _OTHER_TEXTS and titles < _SAME_TITLES)
    ):
        return 0.0
    smaller = min(len(one.tokens), len(other.tokens))
    if len(shared) >= smaller - (smaller > _LEAST_SHARED):
        return 0.5 + titles / 2
    return titles if titles >= _ALIKE_TITLES else 0.0


def _likeness_of_undated(one: Features, other: Features, titles: float) -> float:
    """Return the similarity of two articles that are days apart.

    The similarity is 0 unless the later article is undated and is a copy of the earlier article.
    """
    may_be_older = max(one, other, key=lambda article: article.published_us)
    gap = abs(one.published_us - other.published_us)
    if may_be_older.is_dated or gap > UNDATED_US:
        return 0.0
    if one.sketch and other.sketch:
        texts = _alike(one.sketch, other.sketch)
        return max(texts, titles) if texts >= (_OTHER_TEXTS if titles == 1.0 else _SAME_TEXTS) else 0.0
    return titles if titles == 1.0 and len(one.tokens) > _LEAST_SHARED else 0.0


def _are_contradictory(one: Features, other: Features) -> bool:
    if one.numbers and other.numbers and not (one.numbers <= other.numbers or other.numbers <= one.numbers):
        return True
    return any(
        (axis, 1 - side) in other.directions for axis, side in one.directions if (axis, side) not in other.directions
    )


def _are_different_stories(one: Features, other: Features) -> bool:
    """Return whether two articles certainly tell different stories. Low similarity alone is not enough."""
    if _are_contradictory(one, other):
        return True
    shared = len(one.tokens & other.tokens)
    if min(len(one.tokens), len(other.tokens)) - shared < _LEAST_DIFFERENT:
        return False
    if one.sketch and other.sketch:
        return _alike(one.sketch, other.sketch) < _ALIKE_TEXTS
    return shared < _ALIKE_TITLES * (len(one.tokens) + len(other.tokens) - shared)


def _alike(one: frozenset[int], other: frozenset[int]) -> float:
    """Return the estimated share of word runs that two texts have in common, from their sketches."""
    smallest = sorted(one | other)[:_SKETCH_SIZE]
    both = one & other
    return sum(value in both for value in smallest) / len(smallest)


class Stories:
    """An index of known stories that finds the story of a new article.

    Args:
        known: Recent articles, each with the number of its story.
    """

    def __init__(self, known: Iterable[tuple[int, Features]] = ()) -> None:
        self._articles: list[Features] = []
        self._story_of: list[int] = []
        self._members: defaultdict[int, list[Features]] = defaultdict(list)
        self._positions_by_key: defaultdict[tuple[int, str | int], list[int]] = defaultdict(list)
        for story, article in known:
            self.add(story, article)

    def add(self, story: int, article: Features) -> None:
        """Add an article to a story."""
        position = len(self._articles)
        self._articles.append(article)
        self._story_of.append(story)
        self._members[story].append(article)
        for window in range(_earliest(article) // WINDOW_US, article.published_us // WINDOW_US + 1):
            for key in _keys(article):
                self._positions_by_key[window, key].append(position)

    def story_of(self, article: Features) -> int | None:
        """Return the story most similar to the article; ``None`` if no story matches or two match equally well."""
        scores: dict[int, float] = {}
        for position in self._candidates(article):
            score = likeness(article, self._articles[position])
            story = self._story_of[position]
            if score > scores.get(story, 0.0) and not self._has_contradiction(article, story):
                scores[story] = score
        if not scores:
            return None
        ordered = sorted(scores, key=lambda story: (-scores[story], story))
        if len(ordered) > 1 and scores[ordered[0]] - scores[ordered[1]] < _CLEARLY:
            return None
        return ordered[0]

    def _has_contradiction(self, article: Features, story: int) -> bool:
        """Return whether an article contradicts any member of a story that has several articles.

        A short title resembles the titles of many stories. The longer titles in a story show whether the article
        belongs to it.
        """
        members = self._members[story]
        return len(members) > 1 and any(_are_different_stories(article, member) for member in members)

    def _candidates(self, article: Features) -> Sequence[int]:
        """Return the positions of known articles to compare with an article.

        The known article that shares the most words and hashes with the article comes first.
        """
        window = article.published_us // WINDOW_US
        others = [*range(_earliest(article) // WINDOW_US - 1, window), window + 1]
        lists = []
        for key in _keys(article):
            positions = self._positions_by_key.get((window, key), _NONE)
            for other in others:
                more = self._positions_by_key.get((other, key))
                if more:
                    positions = [*positions, *more]
            if positions:
                lists.append(positions)
        lists.sort(key=len)
        counts: Counter[int] = Counter()
        for rarity, positions in enumerate(lists):
            if len(positions) <= _COMMON:
                counts.update(positions)
            elif rarity < _RAREST:
                counts.update(positions[-_COMMON:])
        most = counts.most_common(_MOST_CANDIDATES)
        least = most[0][1] // 2 if most else 0
        return [position for position, count in most if count >= least]


def _earliest(article: Features) -> int:
    """Return the earliest time at which an article may have been published, in microseconds since 1970 UTC."""
    return article.published_us if article.is_dated else article.published_us - UNDATED_US


def _keys(article: Features) -> Iterable[str | int]:
    yield from article.tokens
    yield from sorted(article.sketch)[:_SKETCH_KEYS]

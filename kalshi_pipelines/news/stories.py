"""Which articles tell the same story: copies of an agency's text, and titles that an editor changed.

The rules, in this order; nothing is drawn by chance, and the same articles in the same order give the same stories:

1. Two articles published more than three days apart are never of one story. One whose time is not known was published
   up to a week before it was found: if that is more than three days from another, only the same title or text counts.
2. Numbers of the titles that contradict each other, or words of opposite directions (*rises*, *falls*), keep two
   articles apart, whatever else they share.
3. Titles with the same words are of one story.
4. If one title has all words of the other but one, and at least four in common, they are.
5. If both have texts that begin alike, they are as long as the titles share a word and no name is exchanged.
6. Else they are if the titles share most of their words and what differs is no name: *High in Miami* is not *High in
   Boston*.

An article joins the story it is most like and stays there: stories are never merged or split afterwards.
"""

import re
import string
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.news.words import STOP_WORDS, is_number, stem, words_as_written

#: Two articles of one story were published at most so far apart.
WINDOW_US: Final = 3 * 86_400 * 1_000_000
#: An article without a time was published at most so long before it was collected, as far as stories go.
UNDATED_US: Final = 7 * 86_400 * 1_000_000
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
#: A word in more titles than this finds only the newest of them, if it is among the rarest of its title.
_COMMON: Final = 64
_RAREST: Final = 4
#: How much more like one story than any other an article has to be.
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
    """What of an article is compared.

    Attributes:
        published_us: When it was published, or collected if that is not known.
        tokens: The stems of its title's words, without those that say nothing.
        names: Those of them that are written like names, if the title's other words are not.
        numbers: The numbers of the title.
        directions: What its title says of up and down, and the like.
        sketch: The smallest hashes of runs of words its text begins with; empty if it is too short.
        is_dated: Whether it is known when it was published.
    """

    published_us: int
    tokens: frozenset[str]
    names: frozenset[str]
    numbers: frozenset[str]
    directions: frozenset[tuple[int, int]]
    sketch: frozenset[int]
    is_dated: bool = True


def features(title: str, published_us: int, sketch: bytes | None, *, is_dated: bool = True) -> Features:
    """What is compared of an article with a clean title."""
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
    # Where most words have capitals, capitals say nothing: then each word might be a name.
    if capitals * 4 >= len(tokens) * 3:
        names = {token for token in tokens if token not in _DIRECTION}
    unpack = frozenset(_unpack(sketch)) if sketch else frozenset()
    return Features(
        published_us, frozenset(tokens), frozenset(names), frozenset(numbers), frozenset(directions), unpack, is_dated
    )


def sketch_of(text: str | None) -> bytes | None:
    """What two texts that begin alike have in common: the smallest hashes of runs of four words; 4 bytes each."""
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
    """A title without what agencies put before it and outlets behind it."""
    core = _AGENCY.sub("", title)
    without_outlet = _OUTLET.sub("", core)
    return without_outlet if len(without_outlet) * 2 >= len(core) else core


def likeness(one: Features, other: Features) -> float:
    """How alike two articles are, above 0 only if they tell the same story."""
    shared = one.tokens & other.tokens
    if not shared or _are_contradictory(one, other):
        return 0.0
    titles = len(shared) / (len(one.tokens) + len(other.tokens) - len(shared))
    if abs(one.published_us - other.published_us) > WINDOW_US:
        return _likeness_of_undated(one, other, titles)
    return 1.0 if titles == 1.0 and len(shared) > 1 else _likeness_of_dated(one, other, shared, titles)


def _likeness_of_dated(one: Features, other: Features, shared: frozenset[str], titles: float) -> float:
    """How alike two articles of about the same time are whose titles share some words."""
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
    """How alike two articles are whose times are far apart; only copies count, and only if a time is not known."""
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
    """Whether two articles are of two stories for certain, not just not alike enough."""
    if _are_contradictory(one, other):
        return True
    shared = len(one.tokens & other.tokens)
    if min(len(one.tokens), len(other.tokens)) - shared < _LEAST_DIFFERENT:
        return False
    if one.sketch and other.sketch:
        return _alike(one.sketch, other.sketch) < _ALIKE_TEXTS
    return shared < _ALIKE_TITLES * (len(one.tokens) + len(other.tokens) - shared)


def _alike(one: frozenset[int], other: frozenset[int]) -> float:
    """The share of runs of words two texts have in common, from the smallest hashes of both."""
    smallest = sorted(one | other)[:_SKETCH_SIZE]
    both = one & other
    return sum(value in both for value in smallest) / len(smallest)


class Stories:
    """The stories that are known, and those of new articles.

    Args:
        known: Articles of the last days, each with the number of its story.
    """

    def __init__(self, known: Iterable[tuple[int, Features]] = ()) -> None:
        self._articles: list[Features] = []
        self._story_of: list[int] = []
        self._members: defaultdict[int, list[Features]] = defaultdict(list)
        self._positions_by_key: defaultdict[tuple[int, str | int], list[int]] = defaultdict(list)
        for story, article in known:
            self.add(story, article)

    def add(self, story: int, article: Features) -> None:
        """Remember an article of a story."""
        position = len(self._articles)
        self._articles.append(article)
        self._story_of.append(story)
        self._members[story].append(article)
        for window in range(_earliest(article) // WINDOW_US, article.published_us // WINDOW_US + 1):
            for key in _keys(article):
                self._positions_by_key[window, key].append(position)

    def story_of(self, article: Features) -> int | None:
        """The story the article is most like; ``None`` if it is the first of its own, or fits two stories as well."""
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
        """A short title is like many stories; what it leaves out is in the others of its story."""
        members = self._members[story]
        return len(members) > 1 and any(_are_different_stories(article, member) for member in members)

    def _candidates(self, article: Features) -> Sequence[int]:
        """The articles worth comparing, those with most in common first."""
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
    """The earliest an article can have been published."""
    return article.published_us if article.is_dated else article.published_us - UNDATED_US


def _keys(article: Features) -> Iterable[str | int]:
    yield from article.tokens
    yield from sorted(article.sketch)[:_SKETCH_KEYS]

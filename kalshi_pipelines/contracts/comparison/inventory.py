"""Inventories: for each place in answers, counts of the types, formats and values.

Belongs here: the counts, adding counts up, and converting counts to and from JSON. Does not belong here: counting a
body (``observation``), and conclusions from counts (``baseline``).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

MOST_VALUES: Final = 40
"""The largest number of distinct values that are counted at one place. A place with more values has no vocabulary."""
MOST_THINGS: Final = 400
"""The largest number of records, such as series, whose values of a lasting attribute are remembered.

If there are more records, the values of the records that were seen first are forgotten.
"""
MOST_PLACES: Final = 1_500
MOST_QUESTIONS: Final = 40
WHOLE: Final = "$"
"""The place that stands for the whole body."""
ENOUGH: Final = 20
"""The number of values that an answer must have at a place to be counted there as varied or uniform."""

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Place:
    """Counts of the values at one place in the body of an answer, such as ``markets[].status``.

    Attributes:
        of: How often the surrounding object was present.
        seen: How often the key was present.
        steady: The number of objects with the key that came after the last object without the key.
        nulls: How often the value was null.
        filled: The number of values that came after the last null.
        types: Counts of the JSON types: ``string``, ``integer``, ``number``, ``flag``, ``object``, ``array``.
        formats: Counts of the formats of texts: ``decimal:4``, ``time:6``, ``uuid``, ``ticker``, ``empty`` and others.
        values: How often each distinct value occurred; ``None`` once there were more than ``MOST_VALUES`` distinct
            values.
        zeros: How often the value was zero, false or empty.
        bands: For each power of ten, how many numbers other than zero have this order of magnitude.
        varied: The number of answers that had enough values at the place, and in which these values differed.
        uniform: The number of answers that had enough values at the place, and in which all these values were equal.
        means: Each answer with enough numbers has a mean power of ten. This attribute holds the lowest and the highest
            of these means.
        latest: The latest instant at the place, if the contract declares that instants there never move back.
        idlest: The largest share of idle values (zero, empty or the upper bound) that a single answer had. Only answers
            with enough values count.
    """

    of: int = 0
    seen: int = 0
    steady: int = 0
    nulls: int = 0
    filled: int = 0
    types: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    formats: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    values: Mapping[str, int] | None = field(default_factory=lambda: _EMPTY)
    zeros: int = 0
    bands: Mapping[str, int] = field(default_factory=lambda: _EMPTY)
    varied: int = 0
    uniform: int = 0
    means: tuple[float, float] | None = None
    latest: str = ""
    idlest: float = 0.0

    @property
    def numbers(self) -> int:
        """The number of values that are counted in ``zeros`` (zero, false or empty) or in ``bands`` (powers of ten)."""
        return self.zeros + sum(self.bands.values())

    @property
    def mean(self) -> float | None:
        """The mean power of ten of the numbers other than zero; ``None`` if there are no such numbers."""
        many = sum(self.bands.values())
        return sum(int(band) * times for band, times in self.bands.items()) / many if many else None

    def plus(self, later: "Place") -> "Place":
        """Return the sum of these counts and of ``later``, which are the counts of later answers."""
        return Place(
            of=self.of + later.of,
            seen=self.seen + later.seen,
            steady=self.steady + later.steady if later.steady == later.of else later.steady,
            nulls=self.nulls + later.nulls,
            filled=self.filled + later.filled if not later.nulls else later.filled,
            types=_sum(self.types, later.types),
            formats=_sum(self.formats, later.formats),
            values=_bounded(self.values, later.values),
            zeros=self.zeros + later.zeros,
            bands=_sum(self.bands, later.bands),
            varied=self.varied + later.varied,
            uniform=self.uniform + later.uniform,
            means=_span(self.means, later.means),
            latest=max(self.latest, later.latest),
            idlest=max(self.idlest, later.idlest),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the counts as a JSON object. Counts that equal their default are omitted."""
        given = {name: value for name, value in vars(self).items() if value != getattr(_NOWHERE, name)}
        return {
            name: dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Place":
        """Return the counts that ``as_json`` wrote. Keys that only a later version of the program knows are dropped."""
        known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
        if known.get("means"):
            known["means"] = tuple(known["means"])
        return cls(**known)


_NOWHERE: Final = Place()


@dataclass(frozen=True)
class Inventory:
    """The counts of one answer, or the sum of many answers.

    Attributes:
        places: The counts of each place.
        lasting: For each attribute that should stay the same, such as the fee type of a series, the latest value of
            each record.
        traits: Facts about the whole answer, such as which shards hold money, each by its place in the body.
        questions: For each set of filters in a request, the smallest and largest number of rows in the answers.
    """

    places: Mapping[str, Place] = field(default_factory=dict)
    lasting: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def plus(self, later: "Inventory") -> "Inventory":
        """Return the sum of this inventory and ``later``.

        If a lasting attribute or a trait changed, the later value is kept.
        """
        places = {
            name: place.plus(later.places[name]) if name in later.places else self._absent(name, later)
            for name, place in self.places.items()
        }
        for name, place in later.places.items():
            if name not in places and len(places) < MOST_PLACES:
                places[name] = place
        return Inventory(
            places,
            {
                name: _latest({**self.lasting.get(name, {}), **later.lasting.get(name, {})}, MOST_THINGS)
                for name in {**self.lasting, **later.lasting}
            },
            {**self.traits, **later.traits},
            _latest(
                {
                    **self.questions,
                    **{name: _rows(self.questions.get(name), rows) for name, rows in later.questions.items()},
                },
                MOST_QUESTIONS,
            ),
        )

    def objects_around(self, place: str) -> int:
        """Return how often the object that surrounds a place was present."""
        found = self.places.get(parent_of(place) or WHOLE)
        return found.types.get("object", 0) if found else 0

    def _absent(self, name: str, later: "Inventory") -> Place:
        around = later.objects_around(name)
        place = self.places[name]
        return place.plus(Place(of=around)) if around else place

    def as_json(self) -> dict[str, Any]:
        """Return the inventory as a JSON object that ``from_json`` reads."""
        return {
            "places": {name: place.as_json() for name, place in self.places.items()},
            "lasting": {name: dict(values) for name, values in self.lasting.items()},
            "traits": dict(self.traits),
            "questions": {name: list(rows) for name, rows in self.questions.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Inventory":
        """Return the inventory that ``as_json`` wrote."""
        return cls(
            {name: Place.from_json(place) for name, place in value.get("places", {}).items()},
            value.get("lasting", {}),
            value.get("traits", {}),
            {name: (rows[0], rows[1]) for name, rows in value.get("questions", {}).items()},
        )


def parent_of(place: str) -> str:
    """Return the place of the object that a key belongs to; empty for a key of the body itself."""
    return place.rpartition(".")[0]


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> Mapping[str, int]:
    return dict(Counter(one) + Counter(other)) if one and other else one or other


def _bounded(one: Mapping[str, int] | None, other: Mapping[str, int] | None) -> Mapping[str, int] | None:
    if one is None or other is None:
        return None
    values = _sum(one, other)
    return values if len(values) <= MOST_VALUES else None


def _span(one: tuple[float, float] | None, other: tuple[float, float] | None) -> tuple[float, float] | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _rows(known: tuple[int, int] | None, now: tuple[int, int]) -> tuple[int, int]:
    return now if known is None else (min(known[0], now[0]), max(known[1], now[1]))


def _latest(values: dict[str, Any], most: int) -> dict[str, Any]:
    return values if len(values) <= most else dict(list(values.items())[-most:])

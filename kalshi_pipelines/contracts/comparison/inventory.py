"""What one answer is made of: which places, how often, of which types, formats and values.

Belongs here: counting, adding up, and writing counts as JSON. Does not belong here: what counts mean (``baseline``).
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

MOST_VALUES: Final = 40
"""Different values of a place that are told apart; a place with more has no vocabulary."""
MOST_THINGS: Final = 400
"""Things of which lasting attributes are remembered, the latest ones."""
MOST_PLACES: Final = 1_500
MOST_QUESTIONS: Final = 40
WHOLE: Final = "$"
"""The place of the whole body."""
ENOUGH: Final = 20
"""Values in one answer from which it is told whether a place varies."""

_EMPTY: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Place:
    """What was seen at one place.

    Attributes:
        of: How often the object around it was there.
        seen: How often its key was there.
        steady: How many objects had the key since one last lacked it.
        nulls: How often it was null.
        filled: How many values came since the last null.
        types: JSON types: ``string``, ``integer``, ``number``, ``flag``, ``object``, ``array``.
        formats: What texts look like: ``decimal:4``, ``time:6``, ``uuid``, ``ticker``, ``empty``, ``text`` ...
        values: How often each value came; ``None`` once there are too many.
        zeros: How often it was zero, false or empty.
        bands: Powers of ten of numbers that are not zero.
        varied: In how many answers with enough values they differed.
        uniform: In how many answers with enough values they were all the same.
        means: The lowest and highest mean power of ten of an answer with enough numbers.
        latest: The latest instant, of places that move.
        idlest: The highest share of values that say nothing (zero, empty, at the upper bound) in an answer with enough.
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
        """How many values had a magnitude or were zero."""
        return self.zeros + sum(self.bands.values())

    @property
    def mean(self) -> float | None:
        """The mean power of ten, ``None`` without numbers."""
        many = sum(self.bands.values())
        return sum(int(band) * times for band, times in self.bands.items()) / many if many else None

    def plus(self, later: "Place") -> "Place":
        """What was seen here in both, ``later`` after this."""
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
        """Only what is not as in an empty place."""
        given = {name: value for name, value in vars(self).items() if value != getattr(_NOWHERE, name)}
        return {
            name: dict(value) if isinstance(value, Mapping) else list(value) if isinstance(value, tuple) else value
            for name, value in given.items()
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Place":
        """The place written by ``as_json``; what a later version wrote besides is left out."""
        known = {name: each for name, each in value.items() if name in cls.__dataclass_fields__}
        if known.get("means"):
            known["means"] = tuple(known["means"])
        return cls(**known)


_NOWHERE: Final = Place()


@dataclass(frozen=True)
class Inventory:
    """A digest of an answer, or of many added up. JSON both ways by ``as_json`` and ``from_json``.

    Attributes:
        places: What was seen at each place.
        lasting: For each place of a lasting attribute its value for each thing.
        traits: Facts of the whole answer by their place.
        questions: For each question (the filters asked for) the least and most rows it was answered with.
    """

    places: Mapping[str, Place] = field(default_factory=dict)
    lasting: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    traits: Mapping[str, str] = field(default_factory=dict)
    questions: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def plus(self, later: "Inventory") -> "Inventory":
        """Both added up; of things that changed the later value holds."""
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
        """How often the object that a place's key belongs to was there."""
        found = self.places.get(parent_of(place) or WHOLE)
        return found.types.get("object", 0) if found else 0

    def _absent(self, name: str, later: "Inventory") -> Place:
        around = later.objects_around(name)
        place = self.places[name]
        return place.plus(Place(of=around)) if around else place

    def as_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` reads."""
        return {
            "places": {name: place.as_json() for name, place in self.places.items()},
            "lasting": {name: dict(values) for name, values in self.lasting.items()},
            "traits": dict(self.traits),
            "questions": {name: list(rows) for name, rows in self.questions.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Inventory":
        """The inventory written by ``as_json``."""
        return cls(
            {name: Place.from_json(place) for name, place in value.get("places", {}).items()},
            value.get("lasting", {}),
            value.get("traits", {}),
            {name: (rows[0], rows[1]) for name, rows in value.get("questions", {}).items()},
        )


def parent_of(place: str) -> str:
    """The place of the object a key belongs to; empty for a key of the body itself."""
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

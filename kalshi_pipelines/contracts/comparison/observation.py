"""Observation of a decoded body: one pass counts the values at every place. The counts form an inventory."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.body_decoding import AbsurdBody
from kalshi_pipelines.contracts.comparison.inventory import ENOUGH, MOST_PLACES, MOST_VALUES, WHOLE, Inventory, Place
from kalshi_pipelines.contracts.language.declarations import Contract, Field, Format, LastingAttributes
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

_FORMATS: Final = (
    (re.compile(r"-?\d{1,30}\.(\d{1,15})"), "decimal:"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(\d{1,12}))?Z"), "time:"),
)
_NAMED: Final = (
    (re.compile(r"-?\d{1,30}"), "integer"),
    (re.compile(r"(?i)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "uuid"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*"), "time with another zone"),
    (re.compile(r"\d{4}-\d\d-\d\d.*"), "date"),
    (re.compile(r"\d\d:\d\d(?::\d\d)?"), "clock"),
    (re.compile(r"https?://\S+"), "url"),
    (re.compile(r"[A-Z0-9][A-Z0-9._-]*"), "ticker"),
)
_NEVER: Final = "0001-01-01T00:00:00Z"
_MOST_LOOKED_AT: Final = 64
_SHORT: Final = 60
_MOST_EXAMPLES: Final = 3
_NOT_FILTERS: Final = re.compile(r"cursor|.*_ts")
_NUMERIC: Final = (Format.DOLLARS, Format.COUNT, Format.INTEGER, Format.NUMBER)


def format_of(text: str) -> str:
    """Return the name of the format that a text has."""
    if not text:
        return "empty"
    head = text[:_MOST_LOOKED_AT]
    if head == _NEVER:
        return "never"
    for pattern, name in _FORMATS:
        if match := pattern.fullmatch(head):
            return f"{name}{len(match[1] or '')}"
    for pattern, name in _NAMED:
        if pattern.fullmatch(head):
            return name
    return "text"


def type_of(value: object) -> str:
    """Return the name of the JSON type of a value; ``null`` if the value has none of the other types."""
    if isinstance(value, bool):
        return "flag"
    for kind, name in ((str, "string"), (int, "integer"), (float, "number"), (dict, "object"), (list, "array")):
        if isinstance(value, kind):
            return name
    return "null"


@dataclass
class _Tally:
    """Counts of the values at one place in a body. The counts grow while the body is read."""

    declared: Field | None
    seen: int = 0
    nulls: int = 0
    zeros: int = 0
    tops: int = 0
    types: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    values: Counter[str] | None = field(default_factory=Counter)
    different: set[object] = field(default_factory=set)
    bands: Counter[str] = field(default_factory=Counter)
    latest: str = ""
    examples: dict[str, str] = field(default_factory=dict)
    beyond: str = ""

    def add(self, value: Any) -> None:  # noqa: ANN401
        """Count a value."""
        self.seen += 1
        if value is None:
            self.nulls += 1
            return
        kind = type_of(value)
        self.types[kind] += 1
        if kind in {"object", "array"}:
            self.zeros += not value
            return
        if len(self.different) < 2:
            self.different.add(value)
        if kind == "string":
            self._text(value)
        else:
            self._vocabulary(str(value).lower() if kind == "flag" else str(value))
            self._magnitude(float(value), value)
        if len(self.examples) < _MOST_EXAMPLES:
            self.examples.setdefault(kind, str(value)[:_SHORT])

    def _text(self, text: str) -> None:
        name = format_of(text)
        self.formats[name] += 1
        if name not in self.examples and len(self.examples) < _MOST_EXAMPLES:
            self.examples[name] = text[:_SHORT]
        if name.startswith("decimal") or (name == "integer" and self._is_numeric()):
            self._magnitude(float(text), text)
        elif name == "empty":
            self.zeros += 1
        if self.declared is not None and self.declared.is_moving:
            self.latest = max(self.latest, text[:40])
        if self.declared is None or self.declared.values:
            self._vocabulary(text)

    def _is_numeric(self) -> bool:
        return self.declared is not None and self.declared.format in _NUMERIC

    def _vocabulary(self, text: str) -> None:
        if self.values is None:
            return
        if len(text) > _SHORT:
            text = f"{text[:_SHORT]}..."
        self.values[text] += 1
        if len(self.values) > MOST_VALUES:
            self.values = None

    def _magnitude(self, number: float, said: object) -> None:
        if not math.isfinite(number):
            raise AbsurdBody("a number that is not finite")
        if number == 0:
            self.zeros += 1
        else:
            self.bands[str(math.floor(math.log10(abs(number))))] += 1
        each = self.declared
        if each is None:
            return
        if (each.least is not None and number < each.least) or (each.most is not None and number > each.most):
            self.beyond = str(said)[:_SHORT]
        self.tops += number == each.most

    def place(self, of: int) -> Place:
        """Return the finished counts of a place; ``of`` is how often the surrounding object was present."""
        many = self.seen - self.nulls
        mean = sum(int(band) * times for band, times in self.bands.items()) / max(sum(self.bands.values()), 1)
        is_enough = many >= ENOUGH and not {"object", "array"} & set(self.types)
        return Place(
            of=of,
            seen=self.seen,
            steady=of if self.seen >= of else 0,
            nulls=self.nulls,
            filled=0 if self.nulls else many,
            types=dict(self.types),
            formats=dict(self.formats),
            values=None if self.values is None else dict(self.values),
            zeros=self.zeros,
            bands=dict(self.bands),
            varied=int(is_enough and len(self.different) > 1),
            uniform=int(is_enough and len(self.different) == 1),
            means=(mean, mean) if sum(self.bands.values()) >= ENOUGH else None,
            latest=self.latest,
            idlest=round((self.zeros + self.tops) / many, 3) if is_enough else 0.0,
        )


@dataclass(frozen=True)
class Observation:
    """The result of observing a body: the counts of its values, and examples of them.

    Attributes:
        inventory: The counts, from which a baseline learns.
        examples: For each place, an example of each type and format.
        beyond: For each place where a number is outside of the declared bounds, that number.
    """

    inventory: Inventory
    examples: Mapping[str, Mapping[str, str]]
    beyond: Mapping[str, str]


def observe(body: Any, contract: Contract, response: Response, prefix: str = "") -> Observation:  # noqa: ANN401
    """Count the values of a body, place by place.

    Args:
        body: A decoded body.
        contract: The contract that declares the places of the body.
        response: The response that carried the body; its request tells which filters applied.
        prefix: A prefix of every place, so that places in refusals do not mix with places in successful answers.

    Raises:
        AbsurdBody: The body has more different places than any real answer.
    """
    tallies: dict[str, _Tally] = {}
    for place, value in _values(body, prefix, contract.free_forms):
        tally = tallies.get(place)
        if tally is None:
            if len(tallies) >= MOST_PLACES:
                raise AbsurdBody(f"more than {MOST_PLACES:,} different places")
            tally = tallies[place] = _Tally(contract.fields.get(place))
        tally.add(value)
    counts = {place: tally.types.get("object", 0) for place, tally in tallies.items()}
    places = {}
    for place, tally in tallies.items():
        parent = place.rpartition(".")[0]
        around = counts.get(parent or WHOLE, tally.seen)
        places[place] = tally.place(tally.seen if place.endswith("]") else around)
    whole = not prefix
    inventory = Inventory(
        places,
        dict(_lasting(body, contract)) if whole else {},
        dict(each for trait in contract.traits for each in trait(body, response)) if whole else {},
        _question(body, contract, response) if whole else {},
    )
    return Observation(
        inventory,
        {place: tally.examples for place, tally in tallies.items()},
        {place: tally.beyond for place, tally in tallies.items() if tally.beyond},
    )


def _values(body: Any, prefix: str, free_forms: frozenset[str]) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    stack: list[tuple[str, Any]] = [(prefix, body)]
    while stack:
        place, value = stack.pop()
        yield place or WHOLE, value
        if isinstance(value, dict):
            if place in free_forms:
                continue
            stack += [(f"{place}.{_key(key)}" if place else _key(key), each) for key, each in value.items()]
        elif isinstance(value, list):
            if is_pair(place, value):
                stack += [(f"{place}[{number}]", each) for number, each in enumerate(value[:4])]
            else:
                stack += [(f"{place}[]", each) for each in value]


def is_pair(place: str, value: list[Any]) -> bool:
    """Return whether a list is one level of an orderbook, which holds a price and a count."""
    return place.endswith("_dollars[]") and not any(isinstance(each, dict | list) for each in value)


def _key(key: str) -> str:
    return key if key.isidentifier() else key.replace(".", "_")[:80]


def _lasting(body: Any, contract: Contract) -> Iterator[tuple[str, dict[str, str]]]:  # noqa: ANN401
    for each in contract.lasting:
        things = [(key, record) for record in _records(body, each.rows) if (key := _name(record, each))]
        for attribute in each.attributes:
            values = {key: short(record[attribute]) for key, record in things if attribute in record}
            if values:
                yield lasting_place(each, attribute), values


def lasting_place(lasting: LastingAttributes, attribute: str) -> str:
    """Return the place of an attribute that should stay the same, such as the fee type of a series."""
    return attribute if lasting.rows == "$" else f"{lasting.rows}.{attribute}"


def _records(body: Any, rows: str) -> list[dict[str, Any]]:  # noqa: ANN401
    found: list[Any] = [body]
    for name in rows.split(".") if rows != "$" else []:
        key = name.removesuffix("[]")
        found = [each.get(key) for each in found if isinstance(each, dict)]
        if name.endswith("[]"):
            found = [element for each in found if isinstance(each, list) for element in each]
    return [each for each in found if isinstance(each, dict)]


def _name(record: Mapping[str, Any], lasting: LastingAttributes) -> str:
    parts = [record.get(key) for key in lasting.key]
    if not all(isinstance(part, str) and part for part in parts):
        return ""
    name = " ".join(str(part) for part in parts) or "$"
    return name.partition("-")[0] if lasting.prefix else name[:120]


def short(value: object) -> str:
    """Return a value as a short text: the value itself, or a digest if it is long."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= _SHORT else "#" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def question_of(request: VendorRequest) -> str:
    """Return the filters of a request as text, without cursor and instants.

    An inventory counts rows for each such text.
    """
    filters = {name: sorted(values) for name, values in request.query.items() if not _NOT_FILTERS.fullmatch(name)}
    return json.dumps([dict(request.path), filters], sort_keys=True)[:300]


def _question(body: Any, contract: Contract, response: Response) -> dict[str, tuple[int, int]]:  # noqa: ANN401
    if contract.paging is None or response.is_excerpt or response.request.one("cursor") or not isinstance(body, dict):
        return {}
    rows = body.get(contract.paging.rows)
    return {question_of(response.request): (len(rows), len(rows))} if isinstance(rows, list) else {}

"""The language in which a contract with a vendor's endpoint is written.

Belongs here: fields, formats, pages, errors, and the contract they make. Does not belong here: the contracts
(``declared``) and comparing answers with them (``checking``).
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

from kalshi_pipelines.contracts.language.differences import Kind, Severity
from kalshi_pipelines.contracts.language.responses import Response


class Format(StrEnum):
    """What a value looks like. Numeric strings are exact: ``decimals`` of the field says how many are usual."""

    DOLLARS = "dollars"
    COUNT = "count"
    TIME = "time"
    UUID = "uuid"
    CLOCK = "clock"
    TEXT = "text"
    URL = "url"
    INTEGER = "integer"
    NUMBER = "number"
    FLAG = "flag"
    OBJECT = "object"
    ARRAY = "array"
    ANY = "any"


@dataclass(frozen=True)
class Field:
    """One place of a body.

    Attributes:
        place: ``markets[].yes_bid_dollars``; relative to its record until a contract binds it.
        format: What its value looks like.
        is_required: The key has to be there.
        is_nullable: ``null`` is a value.
        is_usual: The key may be missing by the specification, but was there whenever its object was.
        is_filled: A list that is not empty, as far as is known.
        is_moving: An instant that goes forward from one answer to the next.
        decimals: How many decimals a numeric string may have.
        values: The vocabulary: the values known to be sent.
        is_closed: Any other value would be stored wrongly or refused by the warehouse; else it is only new.
        least: The smallest sensible number.
        most: The largest sensible number.
        since: When the specification made the key required; an older answer may lack it.
        until: When the key was taken away; an older answer may have it.
        is_free_form: An object whose keys are data, not names.
        used_by: Assets that store it.
    """

    place: str
    format: Format
    is_required: bool = True
    is_nullable: bool = False
    is_usual: bool = False
    is_filled: bool = False
    is_moving: bool = False
    decimals: tuple[int, ...] = ()
    values: frozenset[str] = frozenset()
    is_closed: bool = False
    least: int | None = None
    most: int | None = None
    since: dt.date | None = None
    until: dt.date | None = None
    is_free_form: bool = False
    used_by: tuple[str, ...] = ()


@dataclass(frozen=True)
class BrokenRule:
    """A rule of meaning that an answer broke.

    Attributes:
        place: Where.
        rule: The rule that does not hold, without values: it identifies the finding.
        example: The values.
        severity: How much it matters.
        kind: What sort of difference it is.
    """

    place: str
    rule: str
    example: str = ""
    severity: Severity = Severity.RISKY
    kind: Kind = Kind.INVARIANT_BROKEN


Invariant = Callable[[Any, Response], Iterable[BrokenRule]]
"""A rule over a decoded body and the response it came in."""


Trait = Callable[[Any, Response], Iterable[tuple[str, str]]]
"""Facts of an answer that last, each with its place: the shards of a balance, or how an answer adds up."""


@dataclass(frozen=True)
class Paging:
    """How an endpoint's list is handed out.

    Attributes:
        rows: The place of the list: ``markets``.
        cursor: The key of the cursor in the answer, empty if it is not handed out in pages.
        is_cursor_required: Whether the last page has an empty cursor rather than none.
        most: The largest ``limit``; 0 if there is none.
        usual: The ``limit`` if none is asked for; 0 if there is none.
        key: What identifies a row within the list.
        newest_first: The place within a row by which rows descend, empty if no order is relied on.
        is_never_empty: Rows do not go away: fewer than half of what the same question once had is a difference.
    """

    rows: str
    cursor: str = "cursor"
    is_cursor_required: bool = True
    most: int = 0
    usual: int = 0
    key: tuple[str, ...] = ()
    newest_first: str = ""
    is_never_empty: bool = False


@dataclass(frozen=True)
class LastingAttributes:
    """Attributes that do not change for one thing: the fee type of a series, the grid of a market.

    Attributes:
        rows: The place of the record or list of records: ``markets[]``, ``series``.
        key: The keys within a record that name the thing.
        attributes: The keys within a record whose values last.
        severity: What a changed attribute is.
        is_complete: A thing never seen before is a difference too (rows of the cost table).
        prefix: Only the part of the key before its first ``-`` names the thing (a series of markets).
    """

    rows: str
    key: tuple[str, ...]
    attributes: tuple[str, ...]
    severity: Severity = Severity.RISKY
    is_complete: bool = False
    prefix: bool = False


class Access(StrEnum):
    """Who is answered."""

    PUBLIC = "public"
    KEY = "key"


@dataclass(frozen=True)
class Contract:
    """All that is relied on of one endpoint.

    Attributes:
        endpoint: ``GET /markets/{ticker}``.
        statuses: The statuses of success.
        fields: Every known place of a successful body.
        access: Who is answered.
        paging: How its list is handed out, ``None`` if it has none.
        invariants: Rules of meaning.
        lasting: What does not change for one thing.
        traits: Facts of the whole answer that do not change.
        errors: For each status of a refusal the body shapes it may have: ``nested``, ``flat``, ``msg``, ``text``.
        codes: For each status of a refusal that asking may rightly meet, the codes it may have.
        hosts: Hosts for each environment; empty means those of the exchange.
        used_by: Assets that use the endpoint at all.
    """

    endpoint: str
    fields: Mapping[str, Field]
    statuses: tuple[int, ...] = (200,)
    access: Access = Access.PUBLIC
    paging: Paging | None = None
    invariants: tuple[Invariant, ...] = ()
    lasting: tuple[LastingAttributes, ...] = ()
    traits: tuple[Trait, ...] = ()
    errors: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    codes: Mapping[int, frozenset[str]] = field(default_factory=dict)
    hosts: Mapping[str, frozenset[str]] = field(default_factory=dict)
    used_by: tuple[str, ...] = ()

    @cached_property
    def free_forms(self) -> frozenset[str]:
        """The places whose keys are data."""
        return frozenset(place for place, each in self.fields.items() if each.is_free_form)

    def assets_of(self, place: str) -> tuple[str, ...]:
        """The assets made from a place, from what is inside it, or from the nearest place around it."""
        while place and place != "$":
            used = {
                asset
                for known, each in self.fields.items()
                if known == place or known.startswith((f"{place}.", f"{place}["))
                for asset in each.used_by
            }
            if used:
                return tuple(sorted(used))
            if place in self.fields:
                return ()
            place = place.rpartition(".")[0]
        return self.used_by


def under(prefix: str, fields: Iterable[Field]) -> tuple[Field, ...]:
    """Fields of a record, put where the record stands in a body."""
    return tuple(
        replace(each, place=f"{prefix}{each.place}" if each.place[:1] == "[" else f"{prefix}.{each.place}".lstrip("."))
        for each in fields
    )


def by_place(*groups: Iterable[Field]) -> dict[str, Field]:
    """The fields of a contract by their place.

    Raises:
        ValueError: A place is declared twice.
    """
    fields: dict[str, Field] = {}
    for group in groups:
        for each in group:
            if each.place in fields:
                raise ValueError(f"The place {each.place} is declared twice.")
            fields[each.place] = each
    return fields

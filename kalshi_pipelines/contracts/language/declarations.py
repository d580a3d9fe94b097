"""The classes that declare a contract with a vendor's endpoint.

Belongs here: fields, formats, paging, rules, and the contract that combines them. Does not belong here: the contracts
themselves (``declared``), and comparing answers with contracts (``comparison.checking``).
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
    """The format of a value. A numeric string is exact; ``Field.decimals`` says how many decimals are usual."""

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
    """The declaration of one key, or of one list element, in a body.

    Attributes:
        place: The path, such as ``markets[].yes_bid_dollars``. Until the field is part of a contract, the path is
            relative to its record.
        format: The format of the value.
        is_required: Whether the key must be present.
        is_nullable: Whether the value may be ``null``.
        is_usual: Whether an optional key was always present so far, so that its absence is a difference.
        is_filled: Whether a list was never empty so far, so that an empty list is a difference.
        is_moving: Whether the value is an instant that must not move back from one answer to the next.
        decimals: The numbers of decimals that a numeric string may have.
        values: The vocabulary: every value that the vendor is known to send.
        is_closed: Whether the warehouse knows only the values of the vocabulary. It would refuse any other value, or
            store that value wrongly.
        least: The smallest plausible number.
        most: The largest plausible number.
        since: The day the specification made the key required; older answers may lack the key.
        until: The day the vendor removed the key; older answers may have the key.
        is_free_form: Whether the keys of an object are data, not field names.
        used_by: Assets that store the value.
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
    """A broken rule: values of an answer violate a rule about their meaning.

    Attributes:
        place: The place in the body.
        rule: The violation, without the values. This text identifies the finding, so it must stay the same.
        example: The values that break the rule.
        severity: How much the broken rule matters.
        kind: The kind of difference.
    """

    place: str
    rule: str
    example: str = ""
    severity: Severity = Severity.RISKY
    kind: Kind = Kind.INVARIANT_BROKEN


Invariant = Callable[[Any, Response], Iterable[BrokenRule]]
"""A function that yields the rules a decoded body breaks, given the response that carried the body."""


Trait = Callable[[Any, Response], Iterable[tuple[str, str]]]
"""A function that yields lasting facts of an answer with their places, such as the shards of a balance."""


@dataclass(frozen=True)
class Paging:
    """How an endpoint divides its list into pages.

    Attributes:
        rows: The key of the list, such as ``markets``.
        cursor: The key of the cursor in the answer; empty if the list has no pages.
        is_cursor_required: Whether every page has the key of the cursor, so that the cursor of the last page is empty.
            Otherwise the last page may lack the key.
        most: The largest value of the parameter ``limit``, which is the number of rows per page; 0 if the contract
            declares no largest value.
        usual: The number of rows per page if a request has no parameter ``limit``; 0 if the contract declares no such
            number.
        key: The keys that identify a row within the list.
        newest_first: The key of the instant by which the rows are sorted, the newest row first; empty if this project
            relies on no order of the rows.
        is_never_empty: Whether the list always has rows, because no row is ever removed.

    An answer is unusually short if it has less than half of the rows that answers with the same filters always had. An
    unusually short answer is a risky difference if the list is never empty. For any other list it is an additive
    difference, which is not reported if the answer has no rows or was filtered by status.
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
    """Attributes that never change for the same record, such as the fee type of a series or the price grid of a market.

    Attributes:
        rows: The place of the record or list of records, such as ``markets[]`` or ``series``.
        key: The keys whose values identify a record, so that the record is recognized in later answers.
        attributes: The keys whose values must stay the same for the same record.
        severity: The severity of a changed attribute.
        is_complete: Whether an added or a removed record is a difference, too, as in the table of request costs.
        prefix: Whether only the part of the key's value before the first ``-`` identifies the record. In the ticker of
            a market, this part is the ticker of the series.
    """

    rows: str
    key: tuple[str, ...]
    attributes: tuple[str, ...]
    severity: Severity = Severity.RISKY
    is_complete: bool = False
    prefix: bool = False


class Access(StrEnum):
    """Whether an endpoint answers everyone, or only requests signed with a key."""

    PUBLIC = "public"
    KEY = "key"


@dataclass(frozen=True)
class Contract:
    """Everything this project relies on about one endpoint.

    Attributes:
        endpoint: The method and path, such as ``GET /markets/{ticker}``.
        fields: Every known place of a successful body.
        statuses: The HTTP statuses of success.
        access: Which callers the endpoint answers.
        paging: How the endpoint divides its list into pages; ``None`` if the endpoint has no list.
        invariants: Functions that yield broken rules about the meaning of values.
        lasting: Attributes that never change for the same record, such as the fee type of a series.
        traits: Functions that yield facts of the whole answer that should stay the same.
        errors: For each HTTP status of a refusal, the structures that the body may have: ``nested``, ``flat``, ``msg``
            or ``text``.
        codes: For each HTTP status with which the exchange may refuse a correct request, the error codes that the body
            may hold.
        hosts: Allowed hosts of each environment; if empty, the hosts of the exchange.
        used_by: Assets that use the endpoint.
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
        """Places of objects whose keys are data, not field names."""
        return frozenset(place for place, each in self.fields.items() if each.is_free_form)

    def assets_of(self, place: str) -> tuple[str, ...]:
        """Return the Dagster assets that store a value at a place in the body, or at any place below this place.

        If the contract does not declare the place, return the assets of the surrounding place or of the whole endpoint.
        """
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
    """Return the fields of a record. The place of the record becomes the prefix of each field's place."""
    return tuple(
        replace(each, place=f"{prefix}{each.place}" if each.place[:1] == "[" else f"{prefix}.{each.place}".lstrip("."))
        for each in fields
    )


def by_place(*groups: Iterable[Field]) -> dict[str, Field]:
    """Return the fields of a contract as a mapping from place to field.

    Raises:
        ValueError: Two fields have the same place.
    """
    fields: dict[str, Field] = {}
    for group in groups:
        for each in group:
            if each.place in fields:
                raise ValueError(f"The place {each.place} is declared twice.")
            fields[each.place] = each
    return fields

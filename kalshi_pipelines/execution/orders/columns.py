"""Conversion of an order's terms to columns of the journal and back.

The name and the type of a term determine its column: a ``YesPrice`` called ``price`` is stored in the column
``price_centicents``. Therefore no table needs its own mapping. Nested terms, such as ``Leg``, become columns of the
same row.
"""

import datetime as dt
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Final, TypeVar

from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.terms import ClientOrderId, Contracts, MarketTicker, OrderId, YesPrice
from kalshi_pipelines.units import instant, microseconds

Terms = TypeVar("Terms")


@dataclass(frozen=True, slots=True)
class _Form:
    """How terms of one type are stored: the suffix of the column's name, and the conversions to and from the column."""

    suffix: str
    store: Callable[[Any], object]
    load: Callable[[Any], object]


_FORMS: Final[Mapping[type, _Form]] = {
    YesPrice: _Form("_centicents", lambda price: price.centicents, YesPrice),
    Contracts: _Form("_centicontracts", lambda contracts: contracts.centi, Contracts),
    dt.datetime: _Form("_us", microseconds, instant),
    ActorKind: _Form("_kind", lambda kind: kind.value, ActorKind),
    MarketTicker: _Form("", str, MarketTicker),
    ClientOrderId: _Form("", str, ClientOrderId),
    OrderId: _Form("", str, OrderId),
    bool: _Form("", int, bool),
    int: _Form("", lambda number: number, lambda number: number),
    str: _Form("", lambda text: text, lambda text: text),
}


@dataclass(frozen=True, slots=True)
class _Term:
    """One term of an order: a field of a dataclass.

    ``form`` says how the term is stored. ``form`` is None if the term is nested: a dataclass with further terms,
    such as ``Leg``.
    """

    name: str
    kind: type
    form: _Form | None
    is_argument: bool
    column: str


#: The terms of each class. They are worked out only once, because all other writers wait while an order is stored.
_KNOWN: Final[dict[type, tuple[_Term, ...]]] = {}


def to_columns(terms: object) -> dict[str, Any]:
    """Return the columns that store these terms of an order. A term that is not given is stored as None."""
    columns: dict[str, Any] = {}
    for term in _terms_of(type(terms)):
        value = getattr(terms, term.name)
        if term.form is None:
            columns |= to_columns(value)
        else:
            columns[term.column] = None if value is None else term.form.store(value)
    return columns


def from_columns(kind: type[Terms], columns: Mapping[Any, Any]) -> Terms:
    """Return the terms of an order that are stored in these columns.

    Raises:
        ValueError, OverflowError: A column holds a value that is impossible for its term.
    """
    values: dict[str, object] = {}
    for term in _terms_of(kind):
        if term.form is None:
            values[term.name] = from_columns(term.kind, columns)
        elif term.is_argument:
            stored = columns[term.column]
            values[term.name] = None if stored is None else term.form.load(stored)
    return kind(**values)


def _terms_of(kind: type) -> tuple[_Term, ...]:
    known = _KNOWN.get(kind)
    if known is None:
        hints = typing.get_type_hints(kind)
        known = _KNOWN[kind] = tuple(_term(field.name, hints[field.name], field.init) for field in fields(kind))
    return known


def _term(name: str, hint: Any, is_argument: bool) -> _Term:  # noqa: ANN401  # a type, or a union with None
    kinds = [each for each in typing.get_args(hint) if each is not types.NoneType] if _is_union(hint) else [hint]
    (kind,) = kinds
    if issubclass(kind, StrEnum) and kind not in _FORMS:
        return _Term(name, kind, _Form("", lambda word: word.value, kind), is_argument, name)
    form = _FORMS.get(kind)
    return _Term(name, kind, form, is_argument, name + (form.suffix if form else ""))


def _is_union(hint: Any) -> bool:  # noqa: ANN401  # a type, or a union with None
    return isinstance(hint, types.UnionType)

"""Short functions that make the fields of contracts."""

from typing import Any, Final

from kalshi_pipelines.contracts.language.declarations import Field, Format, under

SECONDS: Final = (1_000_000_000, 9_999_999_999)
"""The plausible range of instants in seconds since 1970."""
MILLISECONDS: Final = (1_000_000_000_000, 9_999_999_999_999)
"""The plausible range of instants in milliseconds since 1970."""


def _bound(place: str, form: Format, used_by: tuple[str, ...], options: dict[str, Any]) -> Field:
    return Field(place, form, used_by=used_by, **options)


def dollars(place: str, *used_by: str, decimals: tuple[int, ...] = (4,), **options: Any) -> Field:  # noqa: ANN401
    """Return a field for money as a decimal string of dollars."""
    return _bound(place, Format.DOLLARS, used_by, {"decimals": decimals} | options)


def money(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for the member's own money, a string of dollars with six decimals since March 2026."""
    return dollars(place, *used_by, decimals=(6,), **options)


def price(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a price: a decimal string between 0 and 1 dollar."""
    return dollars(place, *used_by, **({"least": 0, "most": 1} | options))


def count(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a number of contracts: a string with two decimals."""
    return _bound(place, Format.COUNT, used_by, {"decimals": (2,), "least": 0} | options)


def time(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for an instant in RFC 3339 format."""
    return _bound(place, Format.TIME, used_by, options)


def text(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for any text."""
    return _bound(place, Format.TEXT, used_by, options)


def clock(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a time of day, such as ``08:00``."""
    return _bound(place, Format.CLOCK, used_by, options)


def uuid(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a UUID."""
    return _bound(place, Format.UUID, used_by, options)


def word(place: str, values: str, *used_by: str, is_closed: bool = True, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a value of a vocabulary; ``values`` lists the vocabulary with ``|`` between the words."""
    return _bound(
        place, Format.TEXT, used_by, {"values": frozenset(values.split("|")), "is_closed": is_closed} | options
    )


def whole(place: str, *used_by: str, within: tuple[int, int] | None = None, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a JSON integer."""
    bounds = {} if within is None else {"least": within[0], "most": within[1]}
    return _bound(place, Format.INTEGER, used_by, bounds | options)


def number(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a JSON number."""
    return _bound(place, Format.NUMBER, used_by, options)


def flag(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for a JSON boolean."""
    return _bound(place, Format.FLAG, used_by, options)


def shard(place: str = "exchange_index", *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for an exchange shard.

    Shard 0 is the default, 1 has combos, 2 crypto and commodities, 3 tennis, baseball and basketball.
    """
    return _bound(place, Format.INTEGER, used_by, {"values": frozenset("0123")} | options)


def free(place: str, *used_by: str, **options: Any) -> Field:  # noqa: ANN401
    """Return a field for an object whose keys are data, not field names."""
    return _bound(place, Format.OBJECT, used_by, {"is_free_form": True} | options)


def record(place: str, fields: tuple[Field, ...], **options: Any) -> tuple[Field, ...]:  # noqa: ANN401
    """Return one field for an object, followed by ``fields``, which declare the keys of the object."""
    return (Field(place, Format.OBJECT, **options), *under(place, fields))


def records(place: str, fields: tuple[Field, ...], **options: Any) -> tuple[Field, ...]:  # noqa: ANN401
    """Return one field for a list, one for its elements, and ``fields``, which declare the keys of each element."""
    return (Field(place, Format.ARRAY, **options), Field(f"{place}[]", Format.OBJECT), *under(f"{place}[]", fields))


def listed(place: str, element: Field, **options: Any) -> tuple[Field, ...]:  # noqa: ANN401
    """Return one field for a list and one field for its elements, which are plain values.

    The argument ``element`` declares the elements; its own place is ignored.
    """
    return (Field(place, Format.ARRAY, **options), *under(place, (_at(element, "[]"),)))


def _at(field: Field, place: str) -> Field:
    return Field(**{**vars(field), "place": place})


CURSOR: Final = text("cursor")
OPTIONAL: Final[dict[str, Any]] = {"is_required": False}
USUAL: Final[dict[str, Any]] = {"is_required": False, "is_usual": True}
NULLABLE: Final[dict[str, Any]] = {"is_required": False, "is_nullable": True}

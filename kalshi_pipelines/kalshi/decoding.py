"""Decoding of pages into records, in two steps.

``split_page`` cuts a page into the raw bytes of its rows, and ``decode_records`` decodes rows. Rows that did not change
since the last read need only the first step. A field that this version does not know is kept with its bytes. A row that
cannot be decoded is rejected with the reason. The fields of the records are in ``records``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Raw, Struct

from kalshi_pipelines.kalshi.errors import UnreadableBody
from kalshi_pipelines.kalshi.fee_change_records import EventFeeChange, SeriesFeeChange
from kalshi_pipelines.kalshi.history_records import Trade
from kalshi_pipelines.kalshi.records import Event, Market, Orderbook, Series

_MOST_EXAMPLE_BYTES: Final = 500
_NO_FIELDS: Final[Mapping[str, bytes]] = MappingProxyType({})
_UNDECODABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

T = TypeVar("T", bound=Struct)

_KEYS: Final[Mapping[type[Struct], str]] = {
    Market: "ticker",
    Event: "event_ticker",
    Series: "ticker",
    Orderbook: "ticker",
    Trade: "trade_id",
    SeriesFeeChange: "id",
    EventFeeChange: "id",
}


class Decoded(NamedTuple, Generic[T]):
    """A decoded record with its raw bytes and the raw values of fields that this version does not know."""

    record: T
    raw: Raw
    unknown_fields: Mapping[str, bytes]


@dataclass(frozen=True)
class RejectedRecord:
    """A record that cannot be decoded. ``key`` is the record's ticker, or None if the ticker cannot be read."""

    raw: bytes
    reason: str
    key: str | None


@dataclass
class DecodedRecords(Generic[T]):
    """The decoded and the rejected records of a page, and one example of each unknown field."""

    records: list[Decoded[T]] = field(default_factory=list)
    rejected: list[RejectedRecord] = field(default_factory=list)
    unknown_fields: dict[str, bytes] = field(default_factory=dict)


def split_page(body: bytes, list_key: str, *, paginated: bool = True) -> tuple[str, list[Raw]]:
    """Return the cursor of a page (empty on the last page) and its raw records, which share the body's memory.

    Raises:
        UnreadableBody: The body is not JSON, or it lacks the list, or a page of a paginated list lacks the cursor. A
            page without a cursor must not count as the last page, because all later pages would be lost.
    """
    try:
        envelope = _envelope_decoder(list_key).decode(body)
    except _UNDECODABLE as error:
        raise UnreadableBody(str(error)) from None
    if paginated and envelope.cursor is msgspec.UNSET:
        raise UnreadableBody("Object missing required field `cursor`")
    return envelope.cursor or "", envelope.records or []


def member(body: bytes, key: str) -> Raw:
    """Return the raw value of one key of a JSON object.

    Raises:
        UnreadableBody: The body is not a JSON object, or it lacks the key.
    """
    try:
        return msgspec.json.decode(body, type=dict[str, Raw])[key]
    except KeyError:
        raise UnreadableBody(f"Object missing required field `{key}`") from None
    except _UNDECODABLE as error:
        raise UnreadableBody(str(error)) from None


@cache
def _envelope_decoder(list_key: str) -> msgspec.json.Decoder[Any]:
    fields: list[tuple[str, Any, Any] | tuple[str, Any]] = [
        ("records", list[Raw] | None),
        ("cursor", str | None | msgspec.UnsetType, msgspec.UNSET),
    ]
    return msgspec.json.Decoder(msgspec.defstruct("Envelope", fields, rename={"records": list_key}))


class _Codec(Generic[T]):
    """Decoders of one kind of record: a fast one that refuses unknown fields, and a slow one that keeps them."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        exact = _refusing_unknown_fields(kind)
        self.exact: msgspec.json.Decoder[T] = msgspec.json.Decoder(exact)
        self.exact_list: msgspec.json.Decoder[list[T]] = msgspec.json.Decoder(list[exact])  # type: ignore[valid-type]  # made at run time
        self.lenient = msgspec.json.Decoder(kind)
        self.fields = msgspec.json.Decoder(dict[str, Raw])
        key = _KEYS.get(kind)
        self.key: msgspec.json.Decoder[Any] | None = (
            msgspec.json.Decoder(msgspec.defstruct("Key", [("key", str)], rename={"key": key})) if key else None
        )

    def patient(self, raw: Raw | bytes) -> tuple[T, Mapping[str, bytes]]:
        record = self.lenient.decode(raw)
        return record, self._unknown_fields(self.kind, raw)

    def _unknown_fields(self, kind: type[Struct], raw: Raw | bytes, path: str = "") -> dict[str, bytes]:
        nested = _records_inside(kind)
        unknown: dict[str, bytes] = {}
        for name, value in self.fields.decode(raw).items():
            if name not in kind.__struct_fields__:
                unknown[path + name] = bytes(value)
            elif name in nested:
                unknown |= self._unknown_fields(nested[name], value, f"{path}{name}.")
        return unknown


def _records_inside(kind: type[Struct]) -> dict[str, type[Struct]]:
    types = {field.name: field.type for field in msgspec.structs.fields(kind)}
    return {name: inner for name, inner in types.items() if isinstance(inner, type) and issubclass(inner, Struct)}


def _refusing_unknown_fields(kind: type[Struct]) -> Any:  # noqa: ANN401  # a class made at run time
    inside = [(name, _refusing_unknown_fields(inner)) for name, inner in _records_inside(kind).items()]
    return msgspec.defstruct(kind.__name__, inside, bases=(kind,), frozen=True, gc=False, forbid_unknown_fields=True)


_codecs: dict[type[Struct], _Codec[Any]] = {}


def _codec(kind: type[T]) -> _Codec[T]:
    if kind not in _codecs:
        _codecs[kind] = _Codec(kind)
    return _codecs[kind]


def decode_record(kind: type[T], raw: Raw | bytes) -> tuple[T, Mapping[str, bytes]]:
    """Decode one record, and return it with the fields that this version does not know.

    Raises:
        UnreadableBody: The bytes are not a record of this kind. The message names the first wrong field.
    """
    codec = _codec(kind)
    try:
        return codec.exact.decode(raw), _NO_FIELDS
    except _UNDECODABLE:
        pass
    try:
        return codec.patient(raw)
    except _UNDECODABLE as error:
        raise UnreadableBody(str(error)) from None


def decode_together(kind: type[T], raws: Sequence[Raw]) -> list[T] | None:
    """Decode raw records of a page at once, in half of the time. If one is bad or has unknown fields, return None."""
    try:
        return _codec(kind).exact_list.decode(b"[%b]" % b",".join(raws))
    except _UNDECODABLE:
        return None


def decode_records(kind: type[T], raws: Iterable[Raw]) -> DecodedRecords[T]:
    """Decode raw records of a page. A bad record is rejected with its reason and does not stop the other records."""
    decode = _codec(kind).exact.decode
    result = DecodedRecords[T]()
    append = result.records.append
    for raw in raws:
        try:
            append(Decoded(decode(raw), raw, _NO_FIELDS))
        except _UNDECODABLE:
            _decode_patiently(kind, raw, result)
    return result


def _decode_patiently(kind: type[T], raw: Raw, result: DecodedRecords[T]) -> None:
    try:
        record, unknown = _codec(kind).patient(raw)
    except _UNDECODABLE as error:
        result.rejected.append(RejectedRecord(bytes(raw), str(error), record_key(kind, raw)))
        return
    result.records.append(Decoded(record, raw, unknown))
    for name, value in unknown.items():
        result.unknown_fields.setdefault(name, value[:_MOST_EXAMPLE_BYTES])


def record_key(kind: type[Struct], raw: Raw) -> str | None:
    """Return the ticker of a raw record without decoding the rest; None if the ticker cannot be read."""
    decoder = _codec(kind).key
    try:
        return None if decoder is None else str(decoder.decode(raw).key)
    except _UNDECODABLE:
        return None

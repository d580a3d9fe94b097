"""Contract checks of every page that an ingest reads, at about the cost of decoding the page.

Each decoded record first gets a quick test of a few microseconds: are its fields, its vocabulary values and its number
formats known? Three groups of records are then compared with the contract in full. They are records that fail the quick
test, records that cannot be stored, and a small sample. So an unknown value is found even in one record among a
million, and a page without differences costs little.

Belongs here: the choice of the records to compare. Does not belong here: comparing (``checking``), and ingestion
(``kalshi_pipelines.ingest``).
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

from msgspec import Raw, structs
from msgspec.inspect import is_struct_type

from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.language.declarations import Contract, Field, Format
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity, merge_differences
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

#: One record of every ``SAMPLED_OF`` records of an endpoint is compared in full with the contract, as a sample. The
#: first page of each endpoint always gives one sample.
SAMPLED_OF: Final = 500
#: The largest number of records per page that are compared in full with the contract because they show new values.
MOST_SUSPECTS: Final = 50
#: The largest number of records per page that are compared in full with the contract because they cannot be stored.
MOST_REFUSED: Final = 5
_MOST_KNOWN: Final = 1 << 16
_MOST_BODY: Final = 1 << 20
_DIGITS: Final = re.compile(r"\d+")
_STEP: Final = 7_919
_NUMERIC: Final = (Format.DOLLARS, Format.COUNT)


IngestedRecord = tuple[Any, Any, Collection[str]]
"""A decoded record as a tuple of three parts.

The first part is an object whose attributes hold the values of the known fields. The second part holds the raw bytes of
the record. The third part holds the names of the unknown fields.
"""


@dataclass(frozen=True)
class IngestedPage:
    """A page as an ingest processed it.

    Attributes:
        endpoint: The endpoint of the page, such as ``GET /markets``.
        received_us: When the page was received, in microseconds since 1970 UTC.
        raws: Every record as received.
        decoded: The decoded records. A record that equals its stored record is not decoded.
        refused: The records that cannot be stored, with the reason.
        partly_decoded: The records of which only the changed fields were decoded. Their other fields equal stored ones.
    """

    endpoint: str
    received_us: int
    raws: Sequence[Any]
    decoded: Sequence[IngestedRecord] = ()
    refused: Sequence[tuple[Any, str]] = ()
    partly_decoded: Sequence[IngestedRecord] = ()


class PageChecks:
    """The contract checks of all pages of one ingest.

    Args:
        contracts: The contract of each endpoint; pages of other endpoints are not checked.
        environment: ``sandbox``, ``demo`` or ``prod``.
        address: The root address of the API that answers.
    """

    def __init__(self, contracts: Mapping[str, Contract], environment: str, address: str) -> None:
        self._contracts = contracts
        self._environment = environment
        self._address = address
        self._watches: dict[str, _EndpointWatch] = {}
        self._differences: list[Difference] = []
        self.records: dict[str, int] = {}
        """The number of records read from each endpoint."""
        self.lists: dict[str, set[str]] = {}
        """The lists of each endpoint that were read to their end, as places such as ``list status=open``."""
        self.compared = 0
        """The number of records that were compared with their contract in full."""

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The differences found so far, the gravest first. Differences of one kind at one place are merged into one."""
        return merge_differences(self._differences)

    def add(self, difference: Difference) -> None:
        """Add a difference that the ingest itself found, such as a list that cannot be read to its end."""
        self._differences.append(difference)

    def check_page(self, page: IngestedPage) -> None:
        """Check the records of one page."""
        contract = self._contracts.get(page.endpoint)
        if contract is None or contract.paging is None:
            return
        self.records[page.endpoint] = self.records.get(page.endpoint, 0) + len(page.raws)
        if page.endpoint not in self._watches:
            self._watches[page.endpoint] = _EndpointWatch(contract)
        watch = self._watches[page.endpoint]
        chosen = watch.suspects(page.decoded) + watch.suspects(page.partly_decoded) + watch.sample(page.raws)
        if chosen:
            self._compare(contract, chosen, page.received_us)
        for raw, reason in page.refused[:MOST_REFUSED]:
            self._report_refused(contract, raw, reason, page.received_us)

    def _compare(self, contract: Contract, raws: Sequence[Any], received_us: int) -> Sequence[Difference]:
        self.compared += len(raws)
        request = VendorRequest(contract.endpoint)
        url = self._address + contract.endpoint.partition(" ")[2]
        headers = {"content-type": "application/json"}
        body = _body(contract, raws)
        response = Response(request, 200, headers, body, received_us, url, self._environment, is_excerpt=True)
        found = check(response).differences
        self._differences += found
        return found

    def _report_refused(self, contract: Contract, raw: Any, reason: str, received_us: int) -> None:  # noqa: ANN401
        """Add the differences of a record that cannot be stored; at least one of them is breaking."""
        found = self._compare(contract, [raw], received_us) if _is_object(raw) else ()
        if not any(each.severity is Severity.BREAKING for each in found):
            place = f"{contract.paging.rows}[]" if contract.paging else "$"
            self._differences.append(
                Difference(
                    contract.endpoint,
                    place,
                    Kind.ABSURD,
                    Severity.BREAKING,
                    before="every record can be stored",
                    after="a record can not be stored",
                    example=reason,
                    assets=contract.used_by,
                    advice="Look at the quarantine table: it holds the record and the reason.",
                )
            )


@dataclass
class _EndpointWatch:
    """The values that one endpoint's records have shown so far. Only records with new values need a full comparison."""

    contract: Contract
    _pages: int = 0
    _until_sample: int = 1
    _unknown: set[str] = field(default_factory=set)
    _words: set[tuple[Any, ...]] = field(default_factory=set)
    _reported: set[tuple[str, str]] = field(default_factory=set)
    _looks: "dict[type[Any], Callable[[IngestedRecord], bool]]" = field(default_factory=dict)

    def sample(self, raws: Sequence[Any]) -> list[Any]:
        """Return a sample of a page's records. Reading the same pages again gives the same sample."""
        self._pages += 1
        self._until_sample -= len(raws)
        chosen: list[Any] = []
        while raws and self._until_sample <= 0:
            chosen.append(raws[(self._pages + len(chosen)) * _STEP % len(raws)])
            self._until_sample += SAMPLED_OF
        return chosen

    def suspects(self, decoded: Sequence[IngestedRecord]) -> list[Any]:
        """Return the bytes of records that show an undeclared field, value or number format for the first time."""
        if not decoded:
            return []
        kind = type(decoded[0][0])
        look = self._looks.get(kind) or self._build_look(kind)
        return [each[1] for each in decoded if look(each)][:MOST_SUSPECTS]

    def _build_look(self, kind: type[Any]) -> "Callable[[IngestedRecord], bool]":
        rows = self.contract.paging.rows if self.contract.paging else ""
        # Fields that stay bytes, because their structure is free or because they did not change, are not looked at.
        names = [each.name for each in structs.fields(kind) if each.type is not Raw] if is_struct_type(kind) else []
        fields = {name: self.contract.fields.get(f"{rows}[].{name}") for name in names}
        declared = {name: each for name, each in fields.items() if each is not None}
        words = {name: each for name, each in declared.items() if each.values}
        counts = {name: each for name, each in declared.items() if each.format is Format.COUNT and _is_always(each)}
        numbers = {name: each for name, each in declared.items() if each.format in _NUMERIC and name not in counts}
        groups = [
            (_getter(group), group, {None})
            for pattern in {_pattern(each) for each in numbers.values()}
            if (group := {name: each for name, each in numbers.items() if _pattern(each) == pattern})
        ]
        words_of, counts_of = _getter(words), _getter(counts)
        # Numbers of contracts hardly ever repeat, so a pattern checks each of them. Prices nearly always repeat, so
        # each price is checked once and then remembered.
        are_counts = re.compile(",".join(_pattern(each) for each in counts.values())).fullmatch

        def look(each: IngestedRecord) -> bool:
            record, _, unknown = each
            is_new = False
            if unknown and not self._unknown.issuperset(unknown):
                self._add_known(self._unknown, unknown)
                is_new = True
            if (said := words_of(record)) not in self._words:
                self._add_known(self._words, (said,))
                is_new |= self._has_new_words(words, said)
            for values_of, group, known in groups:
                values = values_of(record)
                if not known.issuperset(values):
                    self._add_known(known, values)
                    is_new |= self._has_new_formats(group, values)
            values = counts_of(record)
            if None in values or are_counts(",".join(values)) is None:
                is_new |= self._has_new_formats(counts, values)
            return is_new

        self._looks[kind] = look
        return look

    @staticmethod
    def _add_known(known: set[Any], values: Iterable[Any]) -> None:
        if len(known) > _MOST_KNOWN:
            known.clear()
        known.update(values)

    def _has_new_words(self, fields: Mapping[str, Field], said: Sequence[Any]) -> bool:
        news = [
            (name, str(word))
            for (name, each), word in zip(fields.items(), said, strict=True)
            if word is not None and str(word) not in each.values
        ]
        return self._report(news)

    def _has_new_formats(self, fields: Mapping[str, Field], values: Sequence[Any]) -> bool:
        news = [
            (name, _DIGITS.sub(lambda digits: "9" * len(digits[0]), str(value))[-12:])
            for (name, each), value in zip(fields.items(), values, strict=True)
            if value is not None and re.fullmatch(_pattern(each), str(value)) is None
        ]
        return self._report(news)

    def _report(self, news: Sequence[tuple[str, str]]) -> bool:
        if self._reported.issuperset(news):
            return False
        self._add_known(self._reported, news)
        return True


def _getter(fields: Mapping[str, Field]) -> Callable[[Any], tuple[Any, ...]]:
    names = list(fields)
    if len(names) > 1:
        return attrgetter(*names)
    return lambda record: tuple(getattr(record, name) for name in names)


def _is_always(each: Field) -> bool:
    return each.is_required and not each.is_nullable and each.since is None


def _pattern(each: Field) -> str:
    decimals = each.decimals or (0, 1, 2, 3, 4, 5, 6)
    return "-?[0-9]+(?:" + "|".join(rf"\.[0-9]{{{count}}}" if count else "" for count in sorted(decimals)[::-1]) + ")"


def _body(contract: Contract, raws: Sequence[Any]) -> bytes:
    pages = contract.paging
    if pages is None:
        raise ValueError(f"{contract.endpoint} has no list of records")
    cursor = b"," + _key(pages.cursor) + b'""' if pages.cursor else b""
    return b"{" + _key(pages.rows) + b"[" + b",".join(_within_bound(raws)) + b"]" + cursor + b"}"


def _within_bound(raws: Sequence[Any]) -> Iterator[bytes]:
    left = _MOST_BODY
    for raw in raws:
        left -= len(raw)
        if left < 0:
            return
        yield bytes(raw)


def _key(name: str) -> bytes:
    return b'"' + name.encode() + b'":'


def _is_object(raw: Any) -> bool:  # noqa: ANN401
    text = bytes(raw)
    return text.startswith(b"{") and text.endswith(b"}")

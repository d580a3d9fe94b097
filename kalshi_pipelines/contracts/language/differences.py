"""Differences between an answer and what was expected: the vocabulary of findings.

Belongs here: severities, kinds and identity of a difference, and cleaning a vendor's text before people see it. Does
not belong here: detecting differences (``comparison``), and storing them (``findings``).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kalshi_pipelines.alerts.scrubbing import scrubbed, visible

MOST_TEXT: Final = 300
"""The largest number of characters in one text of a difference."""


class Severity(StrEnum):
    """How much a difference matters."""

    BREAKING = "breaking"
    """A breaking difference: this project would store wrong data, or an ingest would fail."""
    RISKY = "risky"
    """A risky difference: the meaning of a value may have changed."""
    ADDITIVE = "additive"
    """An additive difference: something new that no asset uses, or a change that the vendor announced with a date."""


class Kind(StrEnum):
    """The kind of a difference."""

    KEY_MISSING = "key_missing"
    KEY_NEW = "key_new"
    KEY_RENAMED = "key_renamed"
    TYPE_CHANGED = "type_changed"
    FORMAT_CHANGED = "format_changed"
    VALUE_NEW = "value_new"
    VALUE_CHANGED = "value_changed"
    VALUE_FROZEN = "value_frozen"
    NULL_NEW = "null_new"
    DISTRIBUTION_CHANGED = "distribution_changed"
    INVARIANT_BROKEN = "invariant_broken"
    TEXT_CHANGED = "text_changed"
    STATUS_CHANGED = "status_changed"
    AUTHENTICATION_CHANGED = "authentication_changed"
    HOST_CHANGED = "host_changed"
    REDIRECTED = "redirected"
    PAGE_BROKEN = "page_broken"
    LIST_INCOMPLETE = "list_incomplete"
    ERROR_SHAPE_CHANGED = "error_shape_changed"
    DOCUMENT_CHANGED = "document_changed"
    ABSURD = "absurd"
    UNREACHABLE = "unreachable"


PlaceAndKind = tuple[str, Kind]
"""The place and kind of a difference. Together with the environment and the endpoint, they identify one finding."""

RANK: Final = {Severity.ADDITIVE: 0, Severity.RISKY: 1, Severity.BREAKING: 2}
"""The rank of each severity: the higher, the graver."""


@dataclass(frozen=True)
class Difference:
    """A difference between an answer and the expected answer. Its texts are shortened and scrubbed on creation.

    Attributes:
        endpoint: The endpoint of the contract, such as ``GET /markets``.
        place: A place in the body, such as ``markets[].yes_bid_dollars``; or ``status``, ``host``, ``$`` (whole body).
        kind: The kind of difference.
        severity: How much the difference matters.
        before: The expected or known state.
        after: The observation, without counts and examples, so that a finding has the same text in every run.
        example: One value that shows the difference.
        assets: Assets made from the values at the place.
        advice: The next step for a person, as one sentence.
    """

    endpoint: str
    place: str
    kind: Kind
    severity: Severity
    before: str
    after: str
    example: str = ""
    assets: tuple[str, ...] = ()
    advice: str = ""

    def __post_init__(self) -> None:
        for name in ("place", "before", "after", "example", "advice"):
            object.__setattr__(self, name, in_one_line(getattr(self, name)))

    def fingerprint(self, environment: str) -> str:
        """Return a digest of the subject and of the text ``after``. Every run on every machine gets the same digest."""
        return _digest(environment, self.endpoint, self.place, self.kind, self.after)

    def subject(self, environment: str) -> str:
        """Return a digest of the subject of a finding: environment, endpoint, place and kind."""
        return _digest(environment, self.endpoint, self.place, self.kind)


def in_one_line(text: str) -> str:
    """Return a vendor's text as one line of bounded length, without control characters, secrets and identifiers."""
    return scrubbed(visible(text[: MOST_TEXT * 4]), MOST_TEXT)


def merge_differences(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """Merge differences of the same endpoint, place and kind, and return them with the gravest first.

    Their ``after`` texts are joined.
    """
    found: dict[tuple[str, str, Kind], Difference] = {}
    for difference in differences:
        key = (difference.endpoint, difference.place, difference.kind)
        known = found.get(key)
        found[key] = difference if known is None else _combine(known, difference)
    return tuple(sorted(found.values(), key=lambda each: (-RANK[each.severity], each.endpoint, each.place, each.kind)))


def places_and_kinds(differences: Iterable[Difference]) -> frozenset[PlaceAndKind]:
    """Return the place and kind of each difference."""
    return frozenset((each.place, each.kind) for each in differences)


def _combine(first: Difference, second: Difference) -> Difference:
    graver = max(first, second, key=lambda each: RANK[each.severity])
    afters = sorted({*first.after.split("; "), *second.after.split("; ")} - {""})
    assets = tuple(sorted({*first.assets, *second.assets}))
    return replace(graver, after="; ".join(afters), assets=assets)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()[:32]

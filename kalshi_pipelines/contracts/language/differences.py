"""What is different from what was expected: the vocabulary of findings.

Belongs here: the classes, kinds and identity of a difference, and what text of a vendor may be shown. Does not belong
here: finding differences (``checking``), and keeping them (``store``).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kalshi_pipelines.alerts.scrubbing import scrubbed, visible

MOST_TEXT: Final = 300
"""Characters of any text of a difference."""


class Severity(StrEnum):
    """How much a difference matters."""

    BREAKING = "breaking"
    """We would store wrong data, or fail."""
    RISKY = "risky"
    """The meaning may have changed."""
    ADDITIVE = "additive"
    """New and unused, or expected and dated."""


class Kind(StrEnum):
    """What sort of difference it is."""

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
    ERROR_SHAPE_CHANGED = "error_shape_changed"
    DOCUMENT_CHANGED = "document_changed"
    ABSURD = "absurd"
    UNREACHABLE = "unreachable"


PlaceAndKind = tuple[str, Kind]
"""The place and the kind of a difference: the endpoint being known, they name one finding."""

RANK: Final = {Severity.ADDITIVE: 0, Severity.RISKY: 1, Severity.BREAKING: 2}
"""Severities in the order they matter."""


@dataclass(frozen=True)
class Difference:
    """One thing that is not as expected. Texts are bounded and scrubbed when it is made.

    Attributes:
        endpoint: The contract: ``GET /markets``.
        place: Where in the body (``markets[].yes_bid_dollars``), or ``status``, ``host``, ``$`` for the whole body.
        kind: What sort of difference.
        severity: How much it matters.
        before: What was expected or known.
        after: What was seen, without counts and examples: the same finding has the same ``after`` in every run.
        example: One instance of it.
        assets: Which of our assets are made from the place.
        advice: What to do, one sentence.
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
        """The same finding has the same fingerprint, in every run and on every machine."""
        return _digest(environment, self.endpoint, self.place, self.kind, self.after)

    def subject(self, environment: str) -> str:
        """What a finding is about: one whose ``after`` changes is the same subject again."""
        return _digest(environment, self.endpoint, self.place, self.kind)


def in_one_line(text: str) -> str:
    """A vendor's text as it may be kept: one bounded line without control characters, secrets and identifiers."""
    return scrubbed(visible(text[: MOST_TEXT * 4]), MOST_TEXT)


def merge_differences(differences: Iterable[Difference]) -> tuple[Difference, ...]:
    """One difference for each place and kind, the gravest first; several ``after`` of one place are put together."""
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

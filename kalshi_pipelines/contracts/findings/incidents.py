"""Grouping of findings into incidents, so that people get one message about one change.

One change can cause several differences, and they may appear in different runs. A renamed key is reported as renamed in
one run, and as missing in a later run. A changed unit breaks one rule today and another rule tomorrow. A difference
that belongs to the incident of an announced, open finding becomes a finding too, but sends no message of its own.

The functions of this module are pure. Belongs here: which findings are parts of one incident. Does not belong here: the
states of one finding (``life_cycle``).
"""

from collections.abc import Iterable
from typing import Final

from kalshi_pipelines.contracts.comparison.inventory import WHOLE, parent_of
from kalshi_pipelines.contracts.findings.life_cycle import Finding, FindingStatus
from kalshi_pipelines.contracts.language.differences import RANK, Difference, Kind, Severity
from kalshi_pipelines.units import DAY_US

SPREADS_FOR_US: Final = DAY_US
"""The time within which the same change of a key at another endpoint belongs to the same incident."""
_OF_THE_ANSWER: Final = frozenset({WHOLE, "status", "host", "headers.content-type"})
#: Kinds of differences that are concluded from several values. Such a difference is often a consequence of a change in
#: one of the values.
_CONCLUDED: Final = frozenset({Kind.INVARIANT_BROKEN, Kind.VALUE_FROZEN, Kind.DISTRIBUTION_CHANGED, Kind.PAGE_BROKEN})


def belongs_to(difference: Difference, others: Iterable[Finding], now_us: int) -> Finding | None:
    """Return the announced finding to whose incident a difference belongs; ``None`` if there is no such finding."""
    return next((other for other in others if _is_announced(other) and _is_part(difference, other, now_us)), None)


def stirred_endpoints(findings: Iterable[Finding]) -> frozenset[str]:
    """Return the endpoints with an announced, open finding graver than additive.

    An addition at such an endpoint may belong to the incident of that finding.
    """
    return frozenset(
        each.difference.endpoint
        for each in findings
        if _is_announced(each) and each.difference.severity is not Severity.ADDITIVE
    )


def _is_announced(finding: Finding) -> bool:
    is_open = finding.status is FindingStatus.OPEN and finding.announced_us is not None
    return is_open and finding.difference.kind is not Kind.UNREACHABLE


def _is_part(difference: Difference, announced: Finding, now_us: int) -> bool:
    known = announced.difference
    if RANK[difference.severity] > RANK[known.severity] or difference.kind is Kind.UNREACHABLE:
        return False
    if difference.endpoint != known.endpoint:
        is_same_key = _key(difference.place) == _key(known.place) and bool(parent_of(difference.place))
        return is_same_key and difference.kind is known.kind and now_us - announced.opened_us <= SPREADS_FOR_US
    if known.place in _OF_THE_ANSWER or difference.place == known.place:
        return True
    if known.kind is difference.kind is Kind.LIST_INCOMPLETE:
        # One broken pagination shortens all lists of an endpoint.
        return True
    if difference.place.startswith((f"{known.place}.", f"{known.place}[")):
        return True
    is_around = known.place.startswith((f"{difference.place}.", f"{difference.place}["))
    return difference.kind in _CONCLUDED and (is_around or _record(difference.place) == _record(known.place))


def _key(place: str) -> str:
    return place.rpartition(".")[2]


def _record(place: str) -> str:
    """Return the place of the list whose elements hold a place; ``$`` (the whole body) if no list holds it."""
    return place.rpartition("[]")[0] or WHOLE

"""Which findings are one incident, so that people get one message of one change.

One change shows in many ways, and not all of them in the same run: a renamed key is seen as renamed, then as missing; a
unit that changed breaks one rule today and another tomorrow. What belongs to something people were told of, and did not
take note of yet, is a finding like any other, but no message of its own.

Pure. Belongs here: what belongs together. Does not belong here: the life of one finding (``life_cycle``).
"""

from collections.abc import Iterable
from typing import Final

from kalshi_pipelines.contracts.comparison.inventory import WHOLE, parent_of
from kalshi_pipelines.contracts.findings.life_cycle import Finding, FindingStatus
from kalshi_pipelines.contracts.language.differences import RANK, Difference, Kind, Severity
from kalshi_pipelines.units import DAY_US

SPREADS_FOR_US: Final = DAY_US
"""Within so long of the first, the same change of a key at another endpoint is the same incident."""
_OF_THE_ANSWER: Final = frozenset({WHOLE, "status", "host", "headers.content-type"})
#: What is concluded from several values: it follows from what happened to one of them.
_CONCLUDED: Final = frozenset({Kind.INVARIANT_BROKEN, Kind.VALUE_FROZEN, Kind.DISTRIBUTION_CHANGED, Kind.PAGE_BROKEN})


def belongs_to(difference: Difference, others: Iterable[Finding], now_us: int) -> Finding | None:
    """The finding people were told of whose incident a difference is part of; ``None`` if it is news of its own."""
    return next((other for other in others if _is_announced(other) and _is_part(difference, other, now_us)), None)


def stirred_endpoints(findings: Iterable[Finding]) -> frozenset[str]:
    """Endpoints with an open finding that is more than an addition: what is new there may be a part of it."""
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
    if difference.place.startswith((f"{known.place}.", f"{known.place}[")):
        return True
    is_around = known.place.startswith((f"{difference.place}.", f"{difference.place}["))
    return difference.kind in _CONCLUDED and (is_around or _record(difference.place) == _record(known.place))


def _key(place: str) -> str:
    return place.rpartition(".")[2]


def _record(place: str) -> str:
    """The record, or the whole body, a place belongs to."""
    return place.rpartition("[]")[0] or WHOLE

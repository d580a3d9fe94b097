"""The life of a finding: opened, changed, acknowledged, closed, opened again; and when that is news to people.

Pure: what the store has to write follows from what is stored and what was seen.

A finding is one subject (environment, endpoint, place, kind). It is news when it opens, when it becomes graver than it
ever was since then, when it comes back, and when it changes after somebody took note of it. While it stays, it is none.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kalshi_pipelines.contracts.language.differences import RANK, Difference, Kind, Severity
from kalshi_pipelines.units import HOUR_US

_MOST_ABSENCES: Final = 16


class FindingStatus(StrEnum):
    """Where a finding is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class RunSource(StrEnum):
    """What a contract run looked at: answers it asked for itself, or samples of what an ingest reads."""

    PROBES = "probes"
    INGEST = "ingest"


class FindingEvent(StrEnum):
    """What happened to a finding."""

    OPENED = "opened"
    CHANGED = "changed"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    REOPENED = "reopened"


@dataclass(frozen=True)
class Finding:
    """A difference that is kept.

    Attributes:
        environment: The exchange it was seen on.
        difference: As it was seen last.
        status: Where it is in its life.
        fingerprint: Of its ``after``.
        seen_by: The source that saw it last; only a run of the same can tell that it is gone.
        openings: How often it was opened.
        absences: In how many runs that could tell it was not seen since it was.
        first_seen_us: When it was seen first of all.
        last_seen_us: When it was seen last.
        opened_us: When it was opened last.
        announced_us: When people were told of it, or of the incident it is part of; None if they are still to be told.
        closed_us: When it was closed.
        acknowledged_us: When somebody took note of it.
        acknowledged_by: Who.
        acknowledged_why: Why it may stay.
        finding_id: Its number; 0 if it is not stored yet.
    """

    environment: str
    difference: Difference
    status: FindingStatus
    fingerprint: str
    seen_by: RunSource
    openings: int
    absences: int
    first_seen_us: int
    last_seen_us: int
    opened_us: int
    announced_us: int | None = None
    closed_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str | None = None
    acknowledged_why: str | None = None
    finding_id: int = 0

    @property
    def alert_key(self) -> str:
        """The same for everything that is no news after the alert of this key."""
        return f"finding:{self.finding_id}:{self.openings}:{self.difference.severity}"


def new_finding(difference: Difference, environment: str, source: RunSource, now_us: int) -> Finding:
    """The finding a difference opens that was never seen before."""
    return Finding(
        environment=environment,
        difference=difference,
        status=FindingStatus.OPEN,
        fingerprint=difference.fingerprint(environment),
        seen_by=source,
        openings=1,
        absences=0,
        first_seen_us=now_us,
        last_seen_us=now_us,
        opened_us=now_us,
    )


def see_again(
    finding: Finding, difference: Difference, source: RunSource, now_us: int
) -> tuple[Finding, FindingEvent | None]:
    """A finding after its difference was seen again, and what that is; news leave ``announced_us`` empty.

    It stays as grave as it was at its worst until it closes. Samples of an ingest and answers to probes describe one
    difference in other words: what only the other source says of it is no change.
    """
    fingerprint = difference.fingerprint(finding.environment)
    is_graver = RANK[difference.severity] > RANK[finding.difference.severity]
    is_other = fingerprint != finding.fingerprint
    again = replace(finding, seen_by=source, absences=0, last_seen_us=max(now_us, finding.last_seen_us))
    as_seen = replace(again, difference=difference, fingerprint=fingerprint)
    if finding.status is not FindingStatus.CLOSED:
        if not is_graver:
            as_seen = replace(as_seen, difference=replace(difference, severity=finding.difference.severity))
            if source is not finding.seen_by and not _is_new_word(finding, difference):
                return (again if source is RunSource.INGEST else as_seen), None
        if finding.status is FindingStatus.OPEN:
            changed = replace(as_seen, announced_us=None) if is_graver else as_seen
            return changed, FindingEvent.CHANGED if is_graver or is_other else None
        if not is_graver and not is_other:
            return as_seen, None
    reopened = replace(
        as_seen,
        status=FindingStatus.OPEN,
        openings=finding.openings + 1,
        opened_us=now_us,
        announced_us=None,
        closed_us=None,
        acknowledged_us=None,
        acknowledged_by=None,
        acknowledged_why=None,
    )
    return reopened, FindingEvent.REOPENED


def _is_new_word(finding: Finding, difference: Difference) -> bool:
    """Whether a word is new that nobody took note of: an ingest sees words that no probe meets."""
    return finding.status is FindingStatus.ACKNOWLEDGED and difference.kind is Kind.VALUE_NEW


def confirm_present(finding: Finding, source: RunSource, now_us: int) -> Finding:
    """A finding of which an answer shows that it did not go away, though it is no longer new."""
    return replace(finding, seen_by=source, absences=0, last_seen_us=max(now_us, finding.last_seen_us))


def miss(finding: Finding, now_us: int) -> tuple[Finding, FindingEvent | None]:
    """A finding after a run that could have seen it did not."""
    absences = finding.absences + 1
    if absences < absences_to_close(finding):
        return replace(finding, absences=absences), None
    closed = replace(
        finding,
        status=FindingStatus.CLOSED,
        absences=absences,
        closed_us=now_us,
        acknowledged_us=None,
        acknowledged_by=None,
        acknowledged_why=None,
    )
    return closed, FindingEvent.CLOSED


def absences_to_close(finding: Finding) -> int:
    """In how many runs in a row a finding must be absent to be gone.

    Two, because an answer is a sample; twice as many after each return, so that what comes and goes (two versions of
    a server behind one address) does not alert each time. An endpoint that answers is reachable at once.
    """
    if finding.difference.kind is Kind.UNREACHABLE:
        return 1
    return min(1 << min(finding.openings, 10), _MOST_ABSENCES)


def mark_acknowledged(finding: Finding, who: str, why: str, now_us: int) -> Finding:
    """An open finding after somebody took note of it."""
    return replace(
        finding,
        status=FindingStatus.ACKNOWLEDGED,
        acknowledged_us=now_us,
        acknowledged_by=who,
        acknowledged_why=why,
    )


@dataclass(frozen=True)
class Reachability:
    """How often, and since when, an endpoint has not answered.

    Attributes:
        failures: Runs in a row without a usable answer.
        since_us: When the first of them was; None if there is none.
    """

    failures: int = 0
    since_us: int | None = None

    def failed(self, now_us: int) -> "Reachability":
        """After one more run without an answer."""
        return Reachability(self.failures + 1, now_us if self.since_us is None else self.since_us)

    def is_finding(self, now_us: int) -> bool:
        """Whether it has lasted longer than a vendor's usual hiccup.

        Three runs in a row over at least half an hour, or two over at least six hours (the slowest schedule).
        """
        if self.since_us is None:
            return False
        lasted = now_us - self.since_us
        return (self.failures >= 3 and lasted >= HOUR_US // 2) or (self.failures >= 2 and lasted >= 6 * HOUR_US)


def unreachable_difference(endpoint: str, assets: tuple[str, ...]) -> Difference:
    """The difference of an endpoint, or of a whole vendor, that does not answer."""
    return Difference(
        endpoint=endpoint,
        place="$",
        kind=Kind.UNREACHABLE,
        severity=Severity.BREAKING,
        before="answered",
        after="no usable answer",
        assets=assets,
        advice="See the vendor's status page; what is stored stays as it is, and the finding closes with an answer.",
    )

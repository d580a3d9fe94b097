"""The states of a finding, and the changes of state about which people get a message.

The functions of this module are pure: the next state follows from the stored state and from the observation.

A finding is about one subject: environment, endpoint, place and kind. People get a message when a finding opens or
comes back. They also get a message when an open finding becomes graver than it has been since it opened, and when a
finding changes after its acknowledgement. An unchanged finding sends no message.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from kalshi_pipelines.contracts.language.differences import RANK, Difference, Kind, Severity
from kalshi_pipelines.units import HOUR_US

_MOST_ABSENCES: Final = 16


class FindingStatus(StrEnum):
    """The state of a finding."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"


class RunSource(StrEnum):
    """The source of the answers in a contract run: its own probes, or records that an ingest read."""

    PROBES = "probes"
    INGEST = "ingest"


class FindingEvent(StrEnum):
    """An event in the history of a finding."""

    OPENED = "opened"
    CHANGED = "changed"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    REOPENED = "reopened"


@dataclass(frozen=True)
class Finding:
    """A difference stored with its state. All instants are microseconds since 1970 UTC.

    Attributes:
        environment: The exchange that showed the difference.
        difference: The latest observation of the difference.
        status: The state of the finding.
        fingerprint: A digest of the latest difference. The digest changes when the text ``after`` changes.
        seen_by: The source that saw the difference last. Only runs of the same source count as absences.
        openings: How often the finding was opened.
        absences: The number of runs without the difference since it was last seen. Runs that could not have shown the
            difference do not count.
        first_seen_us: When the difference was seen for the first time.
        last_seen_us: When the difference was seen last.
        opened_us: When the finding was opened last.
        announced_us: When people got a message about the finding or its incident; ``None`` if a message is due.
        closed_us: When the finding was closed.
        acknowledged_us: When a person acknowledged the finding.
        acknowledged_by: The person who acknowledged the finding.
        acknowledged_why: The reason why the difference may stay.
        finding_id: The number of the finding; 0 if it is not stored yet.
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
        """The key of the finding's alert. The outbox stores only one alert for each key.

        The key changes only when the finding is reopened or its severity changes. Until then, no second alert is
        stored.
        """
        return f"finding:{self.finding_id}:{self.openings}:{self.difference.severity}"


def new_finding(difference: Difference, environment: str, source: RunSource, now_us: int) -> Finding:
    """Return a new finding for a difference that was never seen before."""
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
    """Return the finding after its difference was seen again, and the event to record, if any.

    If people must get a message about the event, ``announced_us`` is ``None``. Until the finding closes, it keeps the
    gravest severity it has had. Probes and ingests may describe the same difference differently, so a different
    text from the other source is not a change.
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
    """Return whether a finding is acknowledged and its difference is about new vocabulary values.

    Such a finding must change when another new value appears, no matter whether a probe or an ingest saw that value. An
    ingest may see a new value before any probe does.
    """
    return finding.status is FindingStatus.ACKNOWLEDGED and difference.kind is Kind.VALUE_NEW


def confirm_present(finding: Finding, source: RunSource, now_us: int) -> Finding:
    """Return the finding after an answer showed that the finding's difference still exists."""
    return replace(finding, seen_by=source, absences=0, last_seen_us=max(now_us, finding.last_seen_us))


def miss(finding: Finding, now_us: int) -> tuple[Finding, FindingEvent | None]:
    """Return the finding after one more run that did not see its difference, and the event to record, if any.

    The caller has checked that the run would have seen the difference if it still existed.
    """
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
    """Return how many runs in a row must not show the difference of a finding before the finding closes.

    One run is not enough for a new finding, because an answer is only a sample. So two runs are needed. The number
    doubles each time the difference returns, up to 16. Without the doubling, two server versions behind one address
    would cause alert after alert. A finding about an unreachable endpoint closes after one answer.
    """
    if finding.difference.kind is Kind.UNREACHABLE:
        return 1
    return min(1 << min(finding.openings, 10), _MOST_ABSENCES)


def mark_acknowledged(finding: Finding, who: str, why: str, now_us: int) -> Finding:
    """Return an open finding as acknowledged, with the person who acknowledged it and the reason."""
    return replace(
        finding,
        status=FindingStatus.ACKNOWLEDGED,
        acknowledged_us=now_us,
        acknowledged_by=who,
        acknowledged_why=why,
    )


@dataclass(frozen=True)
class Reachability:
    """How often in a row, and since when, an endpoint has not answered.

    Attributes:
        failures: The number of consecutive runs without a usable answer.
        since_us: When the first of these runs was, in microseconds since 1970 UTC; ``None`` if there were no such runs.
    """

    failures: int = 0
    since_us: int | None = None

    def after_failure(self, now_us: int) -> "Reachability":
        """Return the reachability of an endpoint after one more run without an answer."""
        return Reachability(self.failures + 1, now_us if self.since_us is None else self.since_us)

    def is_finding(self, now_us: int) -> bool:
        """Return whether the failures last longer than a short outage.

        Three or more consecutive failures must span at least half an hour. Two are enough if they span at least six
        hours, because runs are six hours apart on the slowest schedule.
        """
        if self.since_us is None:
            return False
        lasted = now_us - self.since_us
        return (self.failures >= 3 and lasted >= HOUR_US // 2) or (self.failures >= 2 and lasted >= 6 * HOUR_US)


def unreachable_difference(endpoint: str, assets: tuple[str, ...]) -> Difference:
    """Return the difference for an endpoint, or a whole vendor, that does not answer."""
    return Difference(
        endpoint=endpoint,
        place="$",
        kind=Kind.UNREACHABLE,
        severity=Severity.BREAKING,
        before="answered",
        after="no usable answer",
        assets=assets,
        advice="See the vendor's status page. Stored data stays as it is, and the next answer closes the finding.",
    )

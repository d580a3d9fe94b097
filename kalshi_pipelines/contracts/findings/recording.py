"""Recording of one contract run in one transaction: from check results to findings, baselines and alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.alerts import outbox
from kalshi_pipelines.alerts.messages import finding_message, summary_message
from kalshi_pipelines.alerts.outbox import Alert
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome, CheckResult
from kalshi_pipelines.contracts.comparison.inventory import Inventory
from kalshi_pipelines.contracts.findings.baseline_rows import (
    EndpointBaseline,
    differences_from_reference,
    load_baselines,
    save_baseline,
)
from kalshi_pipelines.contracts.findings.finding_rows import (
    add_event,
    insert_finding,
    news_of,
    select_findings,
    sort_by_urgency,
    update_finding,
)
from kalshi_pipelines.contracts.findings.incidents import belongs_to, stirred_endpoints
from kalshi_pipelines.contracts.findings.life_cycle import (
    Finding,
    FindingEvent,
    FindingStatus,
    RunSource,
    confirm_present,
    miss,
    new_finding,
    see_again,
)
from kalshi_pipelines.contracts.findings.reachability import record_reachability
from kalshi_pipelines.contracts.language.differences import Difference, Kind, PlaceAndKind, Severity, merge_differences
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.tables import alerts, contract_findings

#: The shortest time between two summaries of additions. With a contract run every 6 hours, people hear of an addition
#: within 24 hours.
SUMMARY_EVERY_US: Final = 12 * HOUR_US
LOOKED_AT: Final = frozenset({CheckOutcome.CHECKED, CheckOutcome.EMPTY})
#: Check outcomes after which the answer's inventory is added to the baseline. Refusals are included, because their
#: places have a prefix of their own.
_LEARNED: Final = LOOKED_AT | {CheckOutcome.REFUSED}
#: Kinds of differences that any readable answer can show, even an answer without rows. Other kinds need a body with
#: rows.
_OF_THE_ANSWER: Final = frozenset(
    {Kind.STATUS_CHANGED, Kind.HOST_CHANGED, Kind.REDIRECTED, Kind.ABSURD, Kind.AUTHENTICATION_CHANGED}
)


@dataclass(frozen=True)
class EndpointResult:
    """The check result of one answer. An endpoint may answer several times in a run.

    Attributes:
        endpoint: The endpoint of the contract, such as ``GET /markets``.
        checked: The result of the check.
    """

    endpoint: str
    checked: CheckResult


@dataclass(frozen=True)
class RecordedRun:
    """The result of recording one run.

    Attributes:
        contract_run_id: The number of the run.
        news: Findings that opened, came back or changed in this run.
        closed: Findings that closed in this run.
        open: Every open finding, the gravest first. Acknowledged findings are not among them.
    """

    contract_run_id: int
    news: tuple[Finding, ...]
    closed: tuple[Finding, ...]
    open: tuple[Finding, ...]

    def count(self, severity: Severity) -> int:
        """Return the number of open findings of a severity."""
        return sum(finding.difference.severity is severity for finding in self.open)


class RunRecording:
    """The transaction that records one run."""

    def __init__(
        self, connection: sa.Connection, contract_run_id: int, environment: str, source: RunSource, now_us: int
    ) -> None:
        self._connection = connection
        self._run_id = contract_run_id
        self._environment = environment
        self._source = source
        self._now_us = now_us
        self._news: list[Finding] = []
        self._closed: list[Finding] = []
        self._declared: set[tuple[str, str, Kind]] = set()
        self._before: list[Finding] = []
        self._from_reference: dict[str, frozenset[PlaceAndKind]] = {}

    def record(self, results: Sequence[EndpointResult], more: tuple[Difference, ...]) -> RecordedRun:
        """Record the results of the run: findings, baselines and alerts."""
        by_endpoint: dict[str, list[CheckResult]] = {}
        for result in results:
            by_endpoint.setdefault(result.endpoint, []).append(result.checked)
            self._declared |= {(result.endpoint, place, kind) for place, kind in result.checked.declared}
        away, answered = record_reachability(
            self._connection,
            self._environment,
            {endpoint: [each.outcome for each in every] for endpoint, every in by_endpoint.items()},
            self._run_id,
            self._now_us,
        )
        seen = [each for every in by_endpoint.values() for checked in every for each in checked.differences]
        differences = merge_differences(
            [*(each for each in (*seen, *more) if each.kind is not Kind.UNREACHABLE), *away]
        )
        baselines = load_baselines(self._connection, self._environment)
        self._before = select_findings(self._connection, contract_findings.c.environment == self._environment)
        known = {(each.difference.endpoint, each.difference.place, each.difference.kind): each for each in self._before}
        for difference in differences:
            self._record_seen(known.pop((difference.endpoint, difference.place, difference.kind), None), difference)
        for finding in known.values():
            if finding.status is not FindingStatus.CLOSED:
                self._record_missed(finding, by_endpoint.get(finding.difference.endpoint, []), baselines, answered)
        if self._source is RunSource.PROBES:
            self._learn(by_endpoint, baselines)
        return RecordedRun(
            self._run_id,
            tuple(self._news),
            tuple(self._closed),
            select_open_findings(self._connection, self._environment),
        )

    def _record_seen(self, finding: Finding | None, difference: Difference) -> None:
        if finding is None:
            new = new_finding(difference, self._environment, self._source, self._now_us)
            self._record_event(insert_finding(self._connection, new, self._run_id), FindingEvent.OPENED, "")
            return
        again, event = see_again(finding, difference, self._source, self._now_us)
        update_finding(self._connection, again, self._run_id)
        if event:
            self._record_event(again, event, _why_again(finding))

    def _record_missed(
        self,
        finding: Finding,
        answers: Sequence[CheckResult],
        baselines: Mapping[str, EndpointBaseline],
        answered: frozenset[str],
    ) -> None:
        difference = finding.difference
        if difference.kind is Kind.UNREACHABLE:
            would_show = difference.endpoint in answered
        else:
            would_show = finding.seen_by is self._source and _would_show(difference, answers)
        if not would_show:
            return
        is_declared = (difference.endpoint, difference.place, difference.kind) in self._declared
        if is_declared or self._is_still_different(difference, answers, baselines.get(difference.endpoint)):
            update_finding(self._connection, confirm_present(finding, self._source, self._now_us), self._run_id)
            return
        missed, event = miss(finding, self._now_us)
        update_finding(self._connection, missed, self._run_id)
        if event:
            self._closed.append(missed)
            add_event(self._connection, missed, event, self._now_us, self._run_id)

    def _is_still_different(
        self, difference: Difference, answers: Sequence[CheckResult], stored: EndpointBaseline | None
    ) -> bool:
        """Return whether answers still differ from the reference baseline in the place and kind of a difference.

        In one run, the answers of each endpoint are compared with the reference baseline only once.
        """
        found = self._from_reference.get(difference.endpoint)
        if found is None:
            found = differences_from_reference(difference.endpoint, answers, stored)
            self._from_reference[difference.endpoint] = found
        return (difference.place, difference.kind) in found

    def _record_event(self, finding: Finding, event: FindingEvent, again: str) -> None:
        """Record an event of a finding, and put an alert into the outbox if people must get one now.

        Additions wait for a summary. A finding that belongs to an announced incident sends no alert.
        """
        add_event(self._connection, finding, event, self._now_us, self._run_id)
        if finding.announced_us is not None:
            return
        self._news.append(finding)
        if finding.difference.severity is Severity.ADDITIVE:
            return
        others = [each for each in self._before if each.finding_id != finding.finding_id]
        if belongs_to(finding.difference, others, self._now_us) is None:
            message = finding_message(news_of(finding, again))
            severity = AlertSeverity(finding.difference.severity.value)
            alert = Alert(finding.alert_key, "finding", severity, message, finding.finding_id)
            outbox.put(self._connection, alert, self._now_us)
        _mark_announced(self._connection, [finding.finding_id], self._now_us)

    def _learn(
        self, by_endpoint: Mapping[str, Sequence[CheckResult]], baselines: Mapping[str, EndpointBaseline]
    ) -> None:
        live = {
            each.difference.endpoint
            for each in select_findings(
                self._connection,
                contract_findings.c.environment == self._environment,
                contract_findings.c.status != FindingStatus.CLOSED.value,
            )
        }
        for endpoint, answers in by_endpoint.items():
            inventories = [
                each.inventory
                for each in answers
                if each.inventory is not None and each.outcome in _LEARNED and not _is_absurd(each)
            ]
            save_baseline(
                self._connection,
                self._environment,
                endpoint,
                baselines.get(endpoint),
                inventories,
                keep_reference=endpoint in live,
                contract_run_id=self._run_id,
                now_us=self._now_us,
            )


def _why_again(before: Finding) -> str:
    if before.status is FindingStatus.CLOSED:
        return "it had gone, and came back"
    return "it changed after it was acknowledged" if before.status is FindingStatus.ACKNOWLEDGED else "it changed"


def _would_show(difference: Difference, answers: Sequence[CheckResult]) -> bool:
    """Return whether the answers of this run could have shown a difference, if the difference still existed."""
    is_refused = any(each.outcome is CheckOutcome.REFUSED for each in answers)
    if difference.place.startswith("refusal."):
        return is_refused
    readable = [each for each in answers if each.outcome in LOOKED_AT and not _is_absurd(each)]
    if difference.kind in _OF_THE_ANSWER:
        return bool(readable) or (is_refused and difference.kind is Kind.AUTHENTICATION_CHANGED)
    is_checked = any(each.outcome is CheckOutcome.CHECKED for each in readable)
    if not is_checked or difference.kind is Kind.LIST_INCOMPLETE:
        return is_checked and any(difference.place in each.lists for each in readable)
    inventories = [each.inventory for each in readable if each.inventory is not None]
    if difference.kind is Kind.PAGE_BROKEN and any(_is_list(difference.place, each) for each in inventories):
        return any(_elements(difference.place, each) > 1 for each in inventories)
    places = [place for each in inventories for place in each.places]
    parent = difference.place.rpartition(".")[0]
    if not parent or not places:
        return True
    return any(place == difference.place or place.startswith((f"{parent}.", f"{parent}[")) for place in places)


def _is_list(place: str, inventory: Inventory) -> bool:
    return place in inventory.places and "array" in inventory.places[place].types


def _elements(place: str, inventory: Inventory) -> int:
    """Return how many elements the list at a place had.

    Only a list with at least two elements can show whether a paging rule holds.
    """
    elements = inventory.places.get(f"{place}[]")
    return elements.seen if elements else 0


def _is_absurd(checked: CheckResult) -> bool:
    return any(difference.kind is Kind.ABSURD for difference in checked.differences)


def select_open_findings(connection: sa.Connection, environment: str) -> tuple[Finding, ...]:
    """Return the open findings of an environment, the gravest first."""
    columns = contract_findings.c
    return tuple(
        sort_by_urgency(
            select_findings(connection, columns.environment == environment, columns.status == FindingStatus.OPEN.value)
        )
    )


def _mark_announced(connection: sa.Connection, finding_ids: Sequence[int], now_us: int) -> None:
    which = contract_findings.c.finding_id.in_(finding_ids)
    connection.execute(sa.update(contract_findings).where(which).values(announced_us=now_us))


def put_summary(connection: sa.Connection, environment: str, now_us: int) -> bool:
    """Put one alert about all new additions into the outbox, and return whether such an alert was due.

    An addition at an endpoint with a graver open finding may belong to the incident of that finding. Such an addition
    waits until the graver finding is closed or acknowledged.
    """
    columns, prefix = contract_findings.c, f"summary:{environment}:"
    last = connection.scalar(
        sa.select(sa.func.max(alerts.c.created_us)).where(
            alerts.c.origin == "summary", alerts.c.message_key.startswith(prefix, autoescape=True)
        )
    )
    if last is not None and now_us - last < SUMMARY_EVERY_US:
        return False
    live = select_findings(connection, columns.environment == environment, columns.status == FindingStatus.OPEN.value)
    stirred = stirred_endpoints(live)
    waiting = [
        each
        for each in live
        if each.difference.severity is Severity.ADDITIVE
        and each.announced_us is None
        and each.difference.endpoint not in stirred
    ]
    if not waiting:
        return False
    message = summary_message([news_of(finding) for finding in waiting], environment)
    outbox.put(connection, Alert(f"{prefix}{now_us}", "summary", AlertSeverity.ADDITIVE, message), now_us)
    _mark_announced(connection, [finding.finding_id for finding in waiting], now_us)
    return True

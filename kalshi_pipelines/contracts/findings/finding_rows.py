"""Findings and their history as rows of the warehouse: reading and writing."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import FindingNews
from kalshi_pipelines.contracts.findings.life_cycle import Finding, FindingEvent, FindingStatus, RunSource
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity
from kalshi_pipelines.warehouse.tables import contract_finding_events, contract_findings

_TEXTS: Final = ("endpoint", "place", "before", "after", "example", "advice")
_PLAIN: Final = (
    "environment",
    "fingerprint",
    "openings",
    "absences",
    "first_seen_us",
    "last_seen_us",
    "opened_us",
    "announced_us",
    "closed_us",
    "acknowledged_us",
    "acknowledged_by",
    "acknowledged_why",
)


@dataclass(frozen=True)
class HistoryEntry:
    """One event in the history of a finding.

    Attributes:
        event: The event.
        at_us: When the event happened, in microseconds since 1970 UTC.
        after: The text ``after`` of the finding's difference at that time: the state that the answer showed.
        who: The person who acknowledged the finding; ``None`` for other events.
        why: The reason for the acknowledgement; ``None`` for other events.
    """

    event: FindingEvent
    at_us: int
    after: str
    who: str | None
    why: str | None


def select_findings(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> list[Finding]:
    """Return the findings for which every condition holds, in the order in which they were first stored."""
    rows = connection.execute(
        sa.select(contract_findings).where(*conditions).order_by(contract_findings.c.finding_id)
    ).all()
    return [_finding(row) for row in rows]


def insert_finding(connection: sa.Connection, finding: Finding, contract_run_id: int) -> Finding:
    """Store a new finding, and return it with its number."""
    values = _values(finding) | {"contract_run_id": contract_run_id}
    inserted = connection.execute(sa.insert(contract_findings).values(values))
    key = inserted.inserted_primary_key
    return replace(finding, finding_id=int(key[0]) if key else 0)


def update_finding(connection: sa.Connection, finding: Finding, contract_run_id: int | None = None) -> None:
    """Store the present state of a finding, and the run that checked it."""
    values = _values(finding) | ({} if contract_run_id is None else {"contract_run_id": contract_run_id})
    which = contract_findings.c.finding_id == finding.finding_id
    connection.execute(sa.update(contract_findings).where(which).values(values))


def add_event(
    connection: sa.Connection, finding: Finding, event: FindingEvent, at_us: int, contract_run_id: int | None
) -> None:
    """Add an event to the history of a finding."""
    connection.execute(
        sa.insert(contract_finding_events).values(
            finding_id=finding.finding_id,
            event=event.value,
            at_us=at_us,
            after=finding.difference.after,
            who=finding.acknowledged_by if event is FindingEvent.ACKNOWLEDGED else None,
            why=finding.acknowledged_why if event is FindingEvent.ACKNOWLEDGED else None,
            contract_run_id=contract_run_id,
        )
    )


def history_of(connection: sa.Connection, finding_id: int) -> list[HistoryEntry]:
    """Return the history of a finding, the oldest event first."""
    events = contract_finding_events.c
    rows = connection.execute(
        sa.select(contract_finding_events).where(events.finding_id == finding_id).order_by(events.finding_event_id)
    ).all()
    return [HistoryEntry(FindingEvent(row.event), row.at_us, row.after, row.who, row.why) for row in rows]


def news_of(finding: Finding, again: str = "") -> FindingNews:
    """Return the parts of a finding that a message shows."""
    difference = finding.difference
    return FindingNews(
        finding_id=finding.finding_id,
        environment=finding.environment,
        severity=difference.severity.value,
        endpoint=difference.endpoint,
        place=difference.place,
        kind=difference.kind.value,
        before=difference.before,
        after=difference.after,
        example=difference.example,
        advice=difference.advice,
        assets=difference.assets,
        first_seen_us=finding.opened_us,
        again=again,
    )


def sort_by_urgency(findings: Sequence[Finding]) -> list[Finding]:
    """Return findings sorted by urgency: the gravest first, then the newest."""
    order = list(Severity)
    return sorted(findings, key=lambda each: (order.index(each.difference.severity), -each.opened_us, each.finding_id))


def _finding(row: sa.Row[Any]) -> Finding:
    values = row._mapping  # `_mapping` is a public attribute of SQLAlchemy despite its underscore
    difference = Difference(
        **{name: values[name] for name in _TEXTS},
        kind=Kind(row.kind),
        severity=Severity(row.severity),
        assets=tuple(json.loads(row.assets)),
    )
    return Finding(
        **{name: values[name] for name in _PLAIN},
        finding_id=row.finding_id,
        difference=difference,
        status=FindingStatus(row.status),
        seen_by=RunSource(row.seen_by),
    )


def _values(finding: Finding) -> dict[str, Any]:
    difference = finding.difference
    return {
        **{name: getattr(finding, name) for name in _PLAIN},
        **{name: getattr(difference, name) for name in _TEXTS},
        "kind": difference.kind.value,
        "severity": difference.severity.value,
        "assets": json.dumps(list(difference.assets)),
        "status": finding.status.value,
        "seen_by": finding.seen_by.value,
    }

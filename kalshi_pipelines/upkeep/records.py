"""Retention of records of past work: quarantine, findings, alerts, contract runs and ingest runs.

Records still in quarantine, open findings, unsent alerts, and runs that any row refers to stay at any age.
"""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.upkeep.inputs import ROWS_AT_ONCE, UpkeepInputs
from kalshi_pipelines.upkeep.removals import Removal
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import AlreadyRunning
from kalshi_pipelines.warehouse.parents import count_unreferenced, references_to, remove_unreferenced
from kalshi_pipelines.warehouse.tables import (
    ADOPTION,
    alert_deliveries,
    alerts,
    contract_finding_events,
    contract_findings,
    contract_runs,
    ingest_runs,
    quarantine,
)

#: Ingest runs are removed in lots of at least this number, because each lot reads the tables that refer to runs.
FEWEST_RUNS: Final = 1_000

_KEYS: Final[sa.BindParameter[int]] = sa.bindparam("keys", expanding=True)
Child = tuple[sa.Table, sa.ColumnElement[bool]]


def remove_old_records(inputs: UpkeepInputs, fewest_runs: int = FEWEST_RUNS) -> list[Removal]:
    """Remove records of past work that are older than the retention, and return what was removed."""
    return [
        _remove_resolved(inputs),
        _remove_closed_findings(inputs),
        _remove_finding_events(inputs),
        _remove_alerts(inputs),
        _remove_contract_runs(inputs),
        _remove_ingest_runs(inputs, fewest_runs),
    ]


def _remove_resolved(inputs: UpkeepInputs) -> Removal:
    days = inputs.retention.records_days
    old = quarantine.c.resolved_us < inputs.before_us(days)
    removed = _remove(inputs, quarantine, old, [])
    return Removal(
        "records in quarantine", removed, _left(inputs, quarantine, removed), f"resolved more than {days} days ago"
    )


def _remove_closed_findings(inputs: UpkeepInputs) -> Removal:
    days, findings = inputs.retention.records_days, contract_findings.c
    unsent = sa.exists().where(alerts.c.finding_id == findings.finding_id, alerts.c.state == "pending")
    old = sa.and_(findings.status == "closed", findings.closed_us < inputs.before_us(days), ~unsent)
    of_alerts = sa.select(alerts.c.alert_id).where(alerts.c.finding_id.in_(_KEYS))
    children = [
        (alert_deliveries, alert_deliveries.c.alert_id.in_(of_alerts)),
        (alerts, alerts.c.finding_id.in_(_KEYS)),
        (contract_finding_events, contract_finding_events.c.finding_id.in_(_KEYS)),
    ]
    removed = _remove(inputs, contract_findings, old, children)
    kept = _left(inputs, contract_findings, removed)
    return Removal("contract findings", removed, kept, f"closed more than {days} days ago")


def _remove_finding_events(inputs: UpkeepInputs) -> Removal:
    days, events = inputs.retention.records_days, contract_finding_events.c
    later = contract_finding_events.alias("later")
    is_followed = sa.exists().where(
        later.c.finding_id == events.finding_id, later.c.finding_event_id > events.finding_event_id
    )
    removed = _remove(inputs, contract_finding_events, sa.and_(events.at_us < inputs.before_us(days), is_followed), [])
    kept = _left(inputs, contract_finding_events, removed)
    return Removal("events of findings", removed, kept, f"older than {days} days, except the newest of each finding")


def _remove_alerts(inputs: UpkeepInputs) -> Removal:
    days = inputs.retention.records_days
    # An alert about a finding stays as long as the finding, so that the same alert is never sent a second time.
    old = sa.and_(alerts.c.finished_us < inputs.before_us(days), alerts.c.finding_id.is_(None))
    removed = _remove(inputs, alerts, old, [(alert_deliveries, alert_deliveries.c.alert_id.in_(_KEYS))])
    return Removal("alerts", removed, _left(inputs, alerts, removed), f"ended more than {days} days ago")


def _remove_contract_runs(inputs: UpkeepInputs) -> Removal:
    days, runs = inputs.retention.records_days, contract_runs.c
    newest = contract_runs.alias("newest")
    last_of_each = sa.select(sa.func.max(newest.c.contract_run_id)).group_by(
        newest.c.environment, newest.c.source, newest.c.status
    )
    old = sa.and_(
        runs.finished_us < inputs.before_us(days),
        runs.contract_run_id.not_in(last_of_each),
        *[
            ~sa.exists().where(column == runs.contract_run_id)
            for constraint in references_to(contract_runs)
            for column in constraint.columns
        ],
    )
    removed = _remove(inputs, contract_runs, old, [])
    kept = _left(inputs, contract_runs, removed)
    return Removal("contract runs", removed, kept, f"ended more than {days} days ago and unreferenced")


def _remove_ingest_runs(inputs: UpkeepInputs, fewest: int) -> Removal:
    days, runs = inputs.retention.records_days, ingest_runs.c
    newest = ingest_runs.alias("newest")
    last_of_each = sa.select(sa.func.max(newest.c.ingest_run_id)).group_by(newest.c.subject, newest.c.status)
    old = sa.select(runs.ingest_run_id).where(
        runs.finished_us < inputs.before_us(days),
        runs.subject != ADOPTION,
        runs.ingest_run_id.not_in(last_of_each),
        # History rows of a run must reach the lake before the run's record may go.
        sa.or_(runs.history_rows == 0, runs.exported_us.is_not(None)),
    )
    note = ""
    with inputs.engine.connect() as connection:
        candidates = list(connection.scalars(old))
        is_worthwhile = len(candidates) >= fewest
        removed = count_unreferenced(connection, ingest_runs, candidates) if is_worthwhile and inputs.is_dry_run else 0
    if is_worthwhile and not inputs.is_dry_run:
        try:
            removed = remove_unreferenced(inputs.engine, ingest_runs, candidates)
        except AlreadyRunning as error:
            note = str(error)
    kept = _left(inputs, ingest_runs, removed)
    rule = f"ended more than {days} days ago and unreferenced, {fewest:,} or more at a time"
    return Removal("ingest runs", removed, kept, rule, note)


def _remove(inputs: UpkeepInputs, table: sa.Table, old: sa.ColumnElement[bool], children: Sequence[Child]) -> int:
    """Remove the rows of a table that meet a condition, batch by batch, with their rows in other tables.

    Args:
        inputs: The inputs of the task. In a dry run, the rows are only counted.
        table: The table.
        old: The condition.
        children: Tables whose rows go first, with the condition on them. Its parameter ``keys`` holds a batch's keys.
    """
    if inputs.is_dry_run:
        with inputs.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table).where(old)) or 0
    columns, removed = list(table.primary_key), 0
    while True:
        with writing(inputs.engine) as connection:
            batch = connection.execute(sa.select(*columns).where(old).limit(ROWS_AT_ONCE)).all()
            for child, condition in children if batch else ():
                connection.execute(sa.delete(child).where(condition), {"keys": [key for (key,) in batch]})
            if batch:
                connection.execute(sa.delete(table).where(sa.tuple_(*columns).in_([tuple(row) for row in batch])))
        removed += len(batch)
        if len(batch) < ROWS_AT_ONCE:
            return removed


def _left(inputs: UpkeepInputs, table: sa.Table, removed: int) -> int:
    with inputs.engine.connect() as connection:
        rows = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    return rows - removed if inputs.is_dry_run else rows

"""Meanings of the tables of contract checks and alerts."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, TableText, texts

_ENVIRONMENT: Final = ColumnText("Exchange that was checked: sandbox, demo or prod.")
_ENDPOINT: Final = ColumnText("Endpoint of a vendor, such as `GET /markets`.")
_RUN: Final = ColumnText("The run that wrote the row, in `contract_runs`.")
_WHERE: Final = {"environment": _ENVIRONMENT, "endpoint": _ENDPOINT, "contract_run_id": _RUN}
CONTRACT_RUNS: Final = TableText(
    "A run that checked what vendors send.",
    texts(
        contract_run_id="Number of the run.",
        source="Where the checked answers are from: own probes, or the pages of an ingest.",
        dagster_run_id="Run of Dagster; NULL if the run was started without Dagster.",
        status="running, succeeded or failed.",
        started_us="Beginning of the run.",
        finished_us="End of the run; NULL while it runs.",
        endpoints_checked="Endpoints whose answers were checked.",
        endpoints_empty="Endpoints that answered without a record.",
        endpoints_refused="Endpoints that refused the request.",
        endpoints_maintenance="Endpoints that were not asked, because the exchange was in maintenance.",
        endpoints_unreachable="Endpoints that did not answer.",
        findings_opened="Findings opened.",
        findings_closed="Findings closed.",
        error="Reason of a failure; NULL if none.",
    )
    | {"environment": _ENVIRONMENT},
)
CONTRACT_ENDPOINTS: Final = TableText(
    "The last check of an endpoint.",
    texts(
        last_outcome="Outcome of the last attempt.",
        last_attempted_us="Time of the last attempt.",
        last_checked_us="Time of the last check of an answer; NULL if there was none.",
        failures="Failures since the last answer.",
        failing_since_us="Time of the first of these failures; NULL if there is none.",
    )
    | _WHERE,
)
CONTRACT_BASELINES: Final = TableText(
    "What an endpoint has sent so far.",
    texts(
        baseline=("Fields, types, and values of closed vocabularies that were seen.", "vendor", "JSON"),
        reference=(
            "The baseline before the oldest finding that is not closed was opened; NULL without such a finding.",
            "vendor",
            "JSON",
        ),
        observations="Answers that were observed.",
        first_observed_us="Time of the first answer.",
        last_observed_us="Time of the last answer.",
    )
    | _WHERE,
)
CONTRACT_FINDINGS: Final = TableText(
    "A difference between what a vendor sends and what we rely on.",
    texts(
        finding_id="Number of the finding.",
        place="Field or list that differs.",
        kind="Kind of the difference.",
        severity="breaking, risky or additive.",
        status="open, acknowledged or closed.",
        before="What was sent, or declared, before.",
        after="What is sent now.",
        example=("A value, shortened.", "vendor"),
        advice="What to do.",
        assets=("Assets that depend on it.", OURS, "JSON list"),
        fingerprint="Digest by which the same difference is known again.",
        seen_by="Kind of run that saw it: probes or ingest.",
        openings="How often it was opened.",
        absences="Checks in a row that did not see it.",
        first_seen_us="Time of the first check that saw it.",
        last_seen_us="Time of the last check that saw it.",
        opened_us="Time at which it was last opened.",
        announced_us="Time of its alert; NULL if there was none.",
        closed_us="Time at which it was closed; NULL while it is not.",
        acknowledged_us="Time at which a person acknowledged it; NULL if none did.",
        acknowledged_by="The person who acknowledged it; NULL if none did.",
        acknowledged_why="The reason of that person; NULL if none did.",
    )
    | _WHERE,
)
FINDING_EVENTS: Final = TableText(
    "A change of the state of a finding.",
    texts(
        finding_event_id="Number of the row.",
        finding_id="Finding.",
        event="What happened, such as opened or acknowledged.",
        at_us="Time at which it happened.",
        after="What was sent then.",
        who="The person who acknowledged it; NULL for other events.",
        why="The reason of that person; NULL for other events.",
        contract_run_id="The run that saw it, in `contract_runs`; NULL if a person acted.",
    ),
)
ALERTS: Final = TableText(
    "A message to people.",
    texts(
        alert_id="Number of the alert.",
        message_key="Key of the cause. The same cause makes no second alert.",
        origin="What the alert is about, such as a finding.",
        severity="breaking, risky or additive.",
        finding_id="Finding; NULL if the alert is about something else.",
        title="Title.",
        body="Text.",
        state="pending until every channel has finished, then sent, failed or skipped.",
        created_us="Time at which the alert was made.",
        finished_us="Time at which every channel had finished; NULL before.",
    ),
)
ALERT_DELIVERIES: Final = TableText(
    "The delivery of an alert over one channel.",
    texts(
        alert_id="Alert.",
        channel="Name of the channel.",
        state="pending, sending, sent or failed.",
        attempts="Attempts so far.",
        next_attempt_us="Time before which no attempt is made.",
        message_id="Message that has the alert; NULL before the first attempt.",
        claimed_us="Time since which a process is sending it; NULL if none is.",
        sent_us="Time of the delivery; NULL before it.",
        error="Reason of the last failure; NULL if none.",
    ),
)

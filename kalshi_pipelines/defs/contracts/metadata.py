"""How contract runs and findings show in Dagster: log lines, metadata, and results of asset checks."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import dagster as dg

from kalshi_pipelines.alerts.messages import SHOW, SHOW_ALL, finding_message, moment
from kalshi_pipelines.contracts.comparison.checking import CheckOutcome
from kalshi_pipelines.contracts.findings.finding_rows import news_of
from kalshi_pipelines.contracts.findings.life_cycle import Finding
from kalshi_pipelines.contracts.findings.reachability import vendor_of
from kalshi_pipelines.contracts.health import EndpointHealth
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.runs import ContractReport
from kalshi_pipelines.defs.contracts.endpoints import ENDPOINTS, endpoint_key
from kalshi_pipelines.defs.tables import text_table

CONTRACT: Final = "contract"
#: The largest number of findings that a run logs with one line for each finding.
_MOST_LOGGED: Final = 20


def log_findings(log: dg.DagsterLogManager, found: Sequence[Finding]) -> None:
    """Log each breaking or risky finding with the text of its alert, and all additions in one line."""
    grave = [each for each in found if each.difference.severity is not Severity.ADDITIVE]
    for each in grave[:_MOST_LOGGED]:
        message = finding_message(news_of(each))
        write = log.error if each.difference.severity is Severity.BREAKING else log.warning
        write(f"{message.title}\n{message.body}")
    if len(grave) > _MOST_LOGGED:
        log.warning(f"... and {len(grave) - _MOST_LOGGED} more open findings: {SHOW_ALL}")
    if len(found) > len(grave):
        log.warning(f"{len(found) - len(grave)} additions that nothing depends on yet: {SHOW_ALL}")


def run_metadata(report: ContractReport) -> dict[str, Any]:
    """Return the metadata of a contract run: the outcome of every endpoint, and each skipped probe with the reason."""
    asked = dict.fromkeys(ENDPOINTS, "") | {each.endpoint: f"skipped: {each.why}" for each in report.skipped}
    asked |= {endpoint: outcome.value for endpoint, outcome in report.outcomes.items()}
    outcomes = [{"endpoint": endpoint, "outcome": outcome} for endpoint, outcome in asked.items()]
    skipped = [{"probe": each.name, "why": each.why} for each in report.skipped]
    return {
        "asked": report.environment.value,
        "requests": report.requests,
        "spent_microdollars": report.spent_microdollars,
        **{f"open_{severity.value}": report.recorded.count(severity) for severity in Severity},
        "outcomes": text_table(("endpoint", "outcome"), outcomes),
        "skipped": text_table(("probe", "why"), skipped),
    }


def observations(report: ContractReport) -> Iterator[dg.AssetObservation]:
    """Yield an observation for each endpoint that answered.

    Without an observation, Dagster's lineage shows the endpoint's asset as missing.
    """
    for endpoint, outcome in report.outcomes.items():
        if outcome in {CheckOutcome.CHECKED, CheckOutcome.EMPTY}:
            asked = {"asked": report.environment.value, "outcome": outcome.value}
            yield dg.AssetObservation(endpoint_key(endpoint), metadata=asked)


def is_about(finding: Finding, endpoint: str) -> bool:
    """Return whether a finding is about this endpoint, or about the whole vendor of this endpoint."""
    return finding.difference.endpoint in {endpoint, vendor_of(endpoint)}


def check_result(endpoint: str, standing: EndpointHealth, found: Sequence[Finding]) -> dg.AssetCheckResult:
    """Return the result of an endpoint's asset check, which passes if the endpoint was checked and has no finding.

    A failed check is an error if a finding is breaking, and otherwise a warning.
    """
    is_breaking = any(each.difference.severity is Severity.BREAKING for each in found)
    return dg.AssetCheckResult(
        asset_key=endpoint_key(endpoint),
        check_name=CONTRACT,
        passed=standing.is_checked and not found,
        severity=dg.AssetCheckSeverity.ERROR if is_breaking else dg.AssetCheckSeverity.WARN,
        description=_sentence(found) if found else _no_finding(standing),
        metadata={"findings": _findings_table(found), "asked": standing.sentence} if found else {},
    )


def _no_finding(standing: EndpointHealth) -> str:
    return f"no open finding; {standing.sentence}" if standing.is_checked else standing.sentence


def _sentence(found: Sequence[Finding]) -> str:
    counts = {severity: sum(each.difference.severity is severity for each in found) for severity in Severity}
    gravest = found[0].difference
    breaks = ", ".join(gravest.assets) or "no asset that we know of"
    return (
        "open findings: "
        + ", ".join(f"{count} {severity.value}" for severity, count in counts.items() if count)
        + f"; the most severe: {gravest.place}, {gravest.kind.value.replace('_', ' ')}, "
        f"since {moment(found[0].opened_us)}; it breaks {breaks}; see `{SHOW} {found[0].finding_id}`"
    )


def _findings_table(found: Sequence[Finding]) -> dg.TableMetadataValue:
    records = [
        {
            "finding": str(each.finding_id),
            "severity": each.difference.severity.value,
            "place": each.difference.place,
            "kind": each.difference.kind.value.replace("_", " "),
            "before": each.difference.before,
            "after": each.difference.after,
            "since": moment(each.opened_us),
            "breaks": ", ".join(each.difference.assets),
            "what to do": each.difference.advice,
        }
        for each in found
    ]
    return text_table(list(records[0]), records)

"""What the live suite keeps and tells: a warehouse that learns from run to run, and a report for an issue."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from kalshi_pipelines.alerts.messages import finding_message
from kalshi_pipelines.contracts.findings.finding_rows import news_of
from kalshi_pipelines.contracts.findings.life_cycle import Finding
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.runs import ContractReport
from kalshi_pipelines.warehouse.engine import open_engine

#: A SQLite warehouse at head that is kept between runs; without it the suite begins with nothing learned.
WAREHOUSE = "KALSHI_CONTRACT_WAREHOUSE"
#: The file the report is written to.
REPORT = "KALSHI_CONTRACT_REPORT"


@contextmanager
def learning_warehouse(variables: Mapping[str, str], otherwise: sa.Engine) -> Iterator[sa.Engine]:
    """The warehouse of the variables, or the one that is thrown away."""
    if not variables.get(WAREHOUSE):
        yield otherwise
        return
    engine = open_engine(f"sqlite:///{Path(variables[WAREHOUSE]).absolute()}")
    try:
        yield engine
    finally:
        engine.dispose()


def severe_findings(report: ContractReport) -> list[Finding]:
    """The open findings that make the suite fail."""
    return [each for each in report.recorded.open if each.difference.severity is not Severity.ADDITIVE]


def report_text(report: ContractReport) -> str:
    """What a person reads in the issue. The same findings give the same text, and no vendor's text is markup in it."""
    if not (report.is_answered or report.is_maintenance):
        return "No endpoint gave an answer that could be checked.\n"
    texts = [finding_message(news_of(each)) for each in severe_findings(report)]
    return "\n\n".join(f"{each.title}\n{each.body}" for each in texts) + "\n"

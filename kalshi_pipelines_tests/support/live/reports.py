"""Helpers of the live suite: a warehouse that keeps baselines from night to night, and the text of a report."""

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

#: Names the SQLite warehouse, at head, that is kept between runs. Without it the suite starts without baselines.
WAREHOUSE = "KALSHI_CONTRACT_WAREHOUSE"
#: Names the file to which the report is written.
REPORT = "KALSHI_CONTRACT_REPORT"


@contextmanager
def learning_warehouse(variables: Mapping[str, str], otherwise: sa.Engine) -> Iterator[sa.Engine]:
    """Open the warehouse that the variables name, or use the temporary warehouse if they name none."""
    if not variables.get(WAREHOUSE):
        yield otherwise
        return
    engine = open_engine(f"sqlite:///{Path(variables[WAREHOUSE]).absolute()}")
    try:
        yield engine
    finally:
        engine.dispose()


def severe_findings(report: ContractReport) -> list[Finding]:
    """Return the open findings that make the suite fail."""
    return [each for each in report.recorded.open if each.difference.severity is not Severity.ADDITIVE]


def report_text(report: ContractReport) -> str:
    """Return the text of the report for an issue.

    The same findings always give the same text. Text from a vendor cannot become markup.
    """
    if not (report.is_answered or report.is_maintenance):
        return "No endpoint sent a response that could be checked.\n"
    texts = [finding_message(news_of(each)) for each in severe_findings(report)]
    return "\n\n".join(f"{each.title}\n{each.body}" for each in texts) + "\n"

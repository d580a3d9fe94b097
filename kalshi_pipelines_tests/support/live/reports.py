"""Helpers of the live suite: a warehouse that keeps baselines from night to night, and the report for an issue."""

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

#: Environment variable: the path of the migrated SQLite warehouse that is kept between runs. Without it, the suite
#: starts without baselines.
WAREHOUSE = "KALSHI_CONTRACT_WAREHOUSE"
#: Environment variable: the path of the file to which the report is written.
REPORT = "KALSHI_CONTRACT_REPORT"


@contextmanager
def learning_warehouse(variables: Mapping[str, str], otherwise: sa.Engine) -> Iterator[sa.Engine]:
    """Open the SQLite warehouse that the environment variables name, or ``otherwise`` if they name none."""
    if not variables.get(WAREHOUSE):
        yield otherwise
        return
    engine = open_engine(f"sqlite:///{Path(variables[WAREHOUSE]).absolute()}")
    try:
        yield engine
    finally:
        engine.dispose()


def severe_findings(report: ContractReport) -> list[Finding]:
    """Return the open findings that make the live suite fail."""
    return [each for each in report.recorded.open if each.difference.severity is not Severity.ADDITIVE]


def report_text(report: ContractReport) -> str:
    """Return the report on a contract run as the text of an issue.

    The same findings always give the same text. Text from a vendor cannot become markup.
    """
    if not (report.is_answered or report.is_maintenance):
        return "No endpoint sent a response that could be checked.\n"
    texts = [finding_message(news_of(each)) for each in severe_findings(report)]
    return "\n\n".join(f"{each.title}\n{each.body}" for each in texts) + "\n"

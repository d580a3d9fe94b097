"""The contracts against the real exchange, where KALSHI_RUN_LIVE_API=1 allows it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.differences import Severity
from kalshi_pipelines.contracts.runs import ContractReport, run_contract_checks
from kalshi_pipelines.settings import Settings

IS_LIVE = os.environ.get("KALSHI_RUN_LIVE_API") == "1"
#: Read before the settings of the machine are hidden from tests.
GIVEN: Mapping[str, str] = {
    name: value for name, value in os.environ.items() if name == "EXA_API_KEY" or name.startswith("KALSHI_")
}

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(420),
    pytest.mark.skipif(not IS_LIVE, reason="talks to the real exchange only with KALSHI_RUN_LIVE_API=1"),
]


def told(report: ContractReport) -> str:
    """What a person needs to read in the issue the workflow opens."""
    lines = [str(report), *(f"skipped {each.name}: {each.why}" for each in report.skipped)]
    lines += [json.dumps([each.difference.severity, each.difference.endpoint, each.difference.place,
                          each.difference.kind, each.difference.before, each.difference.after])
              for each in report.recorded.open]  # fmt: skip
    return "\n".join(lines)


def test_the_real_vendors_keep_their_contracts(
    sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    if "KALSHI_ENVIRONMENT" not in GIVEN:
        monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    settings = Settings.from_environment()
    report = run_contract_checks(settings, sqlite_engine)
    if file := GIVEN.get("KALSHI_CONTRACT_REPORT"):
        Path(file).write_text(told(report) + "\n")
    assert report.is_answered or report.is_maintenance, told(report)
    assert not [each for each in report.recorded.open if each.difference.severity is not Severity.ADDITIVE], told(
        report
    )

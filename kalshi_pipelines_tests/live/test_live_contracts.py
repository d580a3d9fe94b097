"""Tests of the real vendors' APIs against their contracts. They run only with KALSHI_RUN_LIVE_API=1."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.contracts.runs import run_contract_checks
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.live.reports import REPORT, learning_warehouse, report_text, severe_findings

IS_LIVE = os.environ.get("KALSHI_RUN_LIVE_API") == "1"
#: This machine's environment variables, copied here before a fixture removes them.
GIVEN: Mapping[str, str] = {
    name: value for name, value in os.environ.items() if name == "EXA_API_KEY" or name.startswith("KALSHI_")
}

pytestmark = [
    pytest.mark.live,
    pytest.mark.timeout(420),
    pytest.mark.skipif(not IS_LIVE, reason="the real exchange is used only with KALSHI_RUN_LIVE_API=1"),
]


def test_the_real_vendors_keep_their_contracts(sqlite_engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    if "KALSHI_ENVIRONMENT" not in GIVEN:
        monkeypatch.setenv("KALSHI_ENVIRONMENT", "prod")
    with learning_warehouse(GIVEN, sqlite_engine) as engine:
        report = run_contract_checks(Settings.from_environment(), engine)
    if file := GIVEN.get(REPORT):
        Path(file).write_text(report_text(report))
    assert report.is_answered or report.is_maintenance, report_text(report)
    assert not severe_findings(report), f"{report}\n{report_text(report)}"

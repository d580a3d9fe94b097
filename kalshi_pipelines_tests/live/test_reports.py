"""The live suite keeps its baselines for the next night, and its report is safe to put into an issue."""

import shutil
from pathlib import Path

import httpx
import sqlalchemy as sa

from kalshi_pipelines.contracts.runs import ContractReport, run_contract_checks
from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.live.reports import WAREHOUSE, learning_warehouse, report_text, severe_findings

HOSTILE = "x```\n</details> @everyone [a](http://b) ![c](d) <script>"


def night(file: Path, sandbox: SandboxProcess, throw_away: sa.Engine) -> ContractReport:
    settings = Settings.from_environment().model_copy(update={"run_live_api": False})
    with learning_warehouse({WAREHOUSE: str(file)}, throw_away) as engine:
        return run_contract_checks(settings, engine, lambda _: None, sandbox_url=sandbox.url)


def test_change_between_two_nights_is_reported_against_the_kept_baseline(
    migrated_file: Path, tmp_path: Path, sqlite_engine: sa.Engine, frozen_sandbox: SandboxProcess
) -> None:
    file = tmp_path / "learned.db"
    shutil.copy(migrated_file, file)
    assert severe_findings(night(file, frozen_sandbox, sqlite_engine)) == []
    operation = {"op": "set", "path": "markets[].price_level_structure", "value": HOSTILE}
    changed = {"endpoint": "GET /markets", "operations": [operation]}
    httpx.post(f"{frozen_sandbox.admin_url}/sandbox/drift", json=changed, trust_env=False).raise_for_status()
    try:
        second = night(file, frozen_sandbox, sqlite_engine)
        third = night(file, frozen_sandbox, sqlite_engine)
    finally:
        httpx.delete(f"{frozen_sandbox.admin_url}/sandbox/drift", trust_env=False)
    assert severe_findings(second)
    text = report_text(second)
    assert "price_level_structure" in text
    assert report_text(third) == text  # If the same findings gave another text, the issue would be edited every night.
    assert not set("`@<>") & set(text.replace("->", ""))
    with sqlite_engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM contract_runs")) == 0

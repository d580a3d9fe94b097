"""Tests of the exit code of ``dagster job execute -j contract_checks``, which cron and other schedulers rely on."""

import re
from pathlib import Path
from typing import Any

import httpx

from kalshi_pipelines.sandbox.process import SandboxOptions, SandboxProcess, running_sandbox
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand

#: Patterns of the lines that report a missing YES bid price, in the log and in the alert.
LOGGED = (
    "Breaking drift on sandbox: GET /markets markets[].yes_bid_dollars: key missing",
    r"Since: \d{4}-\d\d-\d\d \d\d:\d\d UTC",
    "Breaks: [a-z_, ]*price_snapshots",
    r"More: python -m kalshi_pipelines.contracts show \d+",
)


def drift(sandbox: SandboxProcess, endpoint: str, *operations: dict[str, Any]) -> None:
    changed = {"endpoint": endpoint, "operations": list(operations)}
    httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=changed, trust_env=False).raise_for_status()


def test_contract_checks_fail_only_on_breaking_drift_and_log_the_finding(
    dagster_command: RunCommand, tmp_path: Path
) -> None:
    with running_sandbox(SandboxOptions(markets=200, tick_seconds=0, tier="unlimited")) as sandbox:
        variables = {"KALSHI_SANDBOX_URL": sandbox.url, "KALSHI_DATA_DIR": str(tmp_path / "data")}
        drift(sandbox, "GET /exchange/schedule", {"op": "set", "path": "schedule.news", "value": "x"})
        drift(sandbox, "GET /markets", {"op": "set", "path": "markets[].price_level_structure", "value": "unheard_of"})
        warned = dagster_command("contract_checks", variables, preloaded=False)
        drift(sandbox, "GET /markets", {"op": "remove", "path": "markets[].yes_bid_dollars"})
        broken = dagster_command("contract_checks", variables)
    assert warned.returncode == 0, warned.stderr[-2_000:]
    assert "WARNING" in warned.stderr
    assert "Risky drift on sandbox: GET /markets markets[].price_level_structure" in warned.stderr
    assert re.search(r"[1-9]\d* additions? that nothing depends on", warned.stderr)
    assert broken.returncode == 1
    for line in LOGGED:
        assert re.search(line if "\\" in line or "*" in line else re.escape(line), broken.stderr), line

"""``dagster job execute -m kalshi_pipelines -j contract_checks`` ends as a clock outside of Dagster needs it to."""

from pathlib import Path

import httpx

from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines_tests.end_to_end.conftest import RunCommand


def test_the_job_fails_on_breaking_drift_and_only_then(dagster_command: RunCommand, tmp_path: Path) -> None:
    with running_sandbox(SandboxOptions(markets=200, tick_seconds=0, tier="unlimited")) as sandbox:
        variables = {"KALSHI_SANDBOX_URL": sandbox.url, "KALSHI_DATA_DIR": str(tmp_path / "data")}
        healthy = dagster_command("contract_checks", variables)
        assert healthy.returncode == 0, healthy.stderr[-2_000:]
        operations = [{"op": "remove", "path": "markets[].yes_bid_dollars"}]
        changed = {"endpoint": "GET /markets", "operations": operations}
        httpx.post(f"{sandbox.admin_url}/sandbox/drift", json=changed, trust_env=False).raise_for_status()
        drifted = dagster_command("contract_checks", variables)
    assert drifted.returncode == 1
    assert "breaking" in drifted.stderr

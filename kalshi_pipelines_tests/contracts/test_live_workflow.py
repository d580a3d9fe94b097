"""The nightly workflow gives the suite what the code reads, and may do no more than it has to."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kalshi_pipelines.settings import Settings

WORKFLOWS = Path(__file__).parents[2] / ".github" / "workflows"
READ_BY_THE_SUITE = {"KALSHI_CONTRACT_REPORT"}


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load((WORKFLOWS / "live-contracts.yml").read_text())
    return loaded


def variables(workflow: dict[Any, Any]) -> set[str]:
    text = (WORKFLOWS / "live-contracts.yml").read_text()
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    given = {name for step in steps for name in step.get("env", {})}
    return given | set(re.findall(r'echo "([A-Z_]+)=[^"]*" >> "\$GITHUB_ENV"', text))


def test_every_variable_it_sets_is_one_the_code_reads(workflow: dict[Any, Any]) -> None:
    read = {str(field.validation_alias or f"KALSHI_{name.upper()}") for name, field in Settings.model_fields.items()}
    given = {name for name in variables(workflow) if name.startswith(("KALSHI_", "EXA_"))}
    assert given <= read | READ_BY_THE_SUITE
    assert {"KALSHI_RUN_LIVE_API", "KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "EXA_API_KEY"} <= given


def test_its_actions_are_pinned_like_those_of_ci(workflow: dict[Any, Any]) -> None:
    used = re.findall(r"uses: (\S+)", (WORKFLOWS / "live-contracts.yml").read_text())
    assert used
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    ci = dict(each.split("@") for each in re.findall(r"uses: (\S+)", (WORKFLOWS / "ci.yml").read_text()))
    assert all(ci.get(name, version) == version for name, version in (action.split("@") for action in used))


def test_only_the_job_that_writes_issues_may_write(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["contracts"]["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["issue"]["permissions"] == {"issues": "write"}
    assert "secrets." not in str(workflow["jobs"]["issue"])


def test_exa_is_asked_weekly_only(workflow: dict[Any, Any]) -> None:
    nightly, weekly = (each["cron"] for each in workflow[True]["schedule"])  # YAML takes `on` for a truth value
    assert nightly.split()[2:] == ["*", "*", "*"]
    (asking,) = [step for step in workflow["jobs"]["contracts"]["steps"] if step.get("id") == "contracts"]
    for name in ("EXA_API_KEY", "KALSHI_EXA_DAILY_PROBE_DOLLARS"):
        assert f"github.event.schedule == '{weekly}'" in asking["env"][name]

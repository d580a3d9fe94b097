"""The nightly workflow sets the variables that the code reads, has minimal permissions, and its scripts work."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from kalshi_pipelines.contracts.probing.other_vendor_probes import MOST_SEARCH_MICRODOLLARS
from kalshi_pipelines.settings import Settings
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.live.reports import REPORT, WAREHOUSE

FILE = CHECKOUT / ".github" / "workflows" / "live-contracts.yml"
SETTINGS = {str(field.validation_alias or f"KALSHI_{name.upper()}") for name, field in Settings.model_fields.items()}
FAKE_GH = """#!{python}
import json, os, subprocess, sys
from pathlib import Path
store, given = Path("issue.json"), sys.argv[1:]
issue = json.loads(store.read_text()) if store.exists() else None
option = lambda name: given[given.index(name) + 1]
assert os.environ["GH_TOKEN"] and given[0] == "issue", given
with Path("calls").open("a") as calls:
    calls.write(given[1] + "\\n")
if given[1] == "list":
    assert "author:app/github-actions" in option("--search")
    print(issue["number"] if issue and issue["title"] == os.environ["TITLE"] else "")
elif given[1] == "create":
    assert issue is None
    body = Path(option("--body-file")).read_text()
    store.write_text(json.dumps({{"number": 7, "title": option("--title"), "body": body}}))
elif given[1] == "view":
    print(issue["body"])
elif given[1] == "edit":
    store.write_text(json.dumps(issue | {{"body": Path(option("--body-file")).read_text()}}))
elif given[1] == "close":
    store.unlink()
"""


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    loaded: dict[Any, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def step(workflow: dict[Any, Any], name: str) -> dict[str, Any]:
    (found,) = [each for each in steps(workflow) if each.get("name") == name]
    return found


def test_workflow_sets_only_variables_that_the_code_reads(workflow: dict[Any, Any]) -> None:
    set_later = set(re.findall(r'echo "([A-Z_]+)=[^"]*" >> "\$GITHUB_ENV"', FILE.read_text()))
    given = {name for each in steps(workflow) for name in each.get("env", {})} | set_later
    read = {name for name in given if name.startswith(("KALSHI_", "EXA_"))}
    assert read <= SETTINGS | {REPORT, WAREHOUSE}
    assert read >= {"KALSHI_RUN_LIVE_API", "KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "EXA_API_KEY", WAREHOUSE}


def test_secrets_have_the_names_of_their_settings(workflow: dict[Any, Any]) -> None:
    secrets = set(re.findall(r"secrets\.([A-Z_]+)", FILE.read_text()))
    assert secrets == {"KALSHI_API_KEY_ID", "KALSHI_PRIVATE_KEY_FILE", "EXA_API_KEY"}
    assert secrets <= SETTINGS
    asking = step(workflow, "Check the vendors")["env"]
    assert all(f"secrets.{name}" in asking[name] for name in ("KALSHI_API_KEY_ID", "EXA_API_KEY"))


def test_actions_are_pinned_to_commits() -> None:
    used = re.findall(r"uses: (.+)", FILE.read_text())
    assert len(used) >= 6
    assert all(re.fullmatch(r"actions/[a-z/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)


def test_only_the_issue_job_may_write_and_it_has_no_secret(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {}
    assert workflow["jobs"]["contracts"]["permissions"] == {"contents": "read"}
    assert workflow["jobs"]["issue"]["permissions"] == {"issues": "write"}
    assert "secrets." not in str(workflow["jobs"]["issue"])


def test_no_script_contains_an_expression_with_untrusted_text(workflow: dict[Any, Any]) -> None:
    assert [each["run"] for each in steps(workflow) if "${{" in each.get("run", "")] == []


def test_exa_is_checked_weekly_with_a_budget_for_one_search(workflow: dict[Any, Any]) -> None:
    nightly, weekly = (each["cron"] for each in workflow[True]["schedule"])  # YAML reads the key `on` as True
    assert nightly.split()[2:] == ["*", "*", "*"]
    assert weekly.split()[2:4] == ["*", "*"]
    assert weekly.split()[4] != "*"
    asking = step(workflow, "Check the vendors")["env"]
    for name in ("EXA_API_KEY", "KALSHI_EXA_DAILY_PROBE_DOLLARS"):
        assert f"github.event.schedule == '{weekly}'" in asking[name]
    weekly_budget = float(re.findall(r"'(0\.\d+)'", asking["KALSHI_EXA_DAILY_PROBE_DOLLARS"])[0])
    assert MOST_SEARCH_MICRODOLLARS <= weekly_budget * 1_000_000 <= 50_000


def test_baselines_of_one_night_are_restored_in_the_next(workflow: dict[Any, Any]) -> None:
    back, keep = step(workflow, "Restore the baselines"), step(workflow, "Save the baselines")
    assert back["with"]["key"] == keep["with"]["key"]
    assert back["with"]["key"].startswith(back["with"]["restore-keys"])
    assert "run_id" in keep["with"]["key"]  # GitHub lets a cache key be written only once
    assert keep["if"].startswith("always()")
    asking = step(workflow, "Check the vendors")["env"]
    assert Path(asking[WAREHOUSE]).parent == Path(back["with"]["path"]) == Path(keep["with"]["path"])
    for name in ("Upgrade the baselines' warehouse", "Acknowledge findings"):
        assert step(workflow, name)["env"]["KALSHI_WAREHOUSE_URL"] == f"sqlite:///{asking[WAREHOUSE]}"


@dataclass
class StepRunner:
    """A runner of the workflow's scripts, which runs each step in a separate folder as GitHub does."""

    folder: Path
    workflow: dict[Any, Any]

    def run(self, name: str, **variables: str) -> subprocess.CompletedProcess[str]:
        files = {"GITHUB_OUTPUT": "output", "GITHUB_ENV": "env", "RUNNER_TEMP": "."}
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "GITHUB_ACTOR": "me",
            **{key: str(self.folder / value) for key, value in files.items()},
            **variables,
        }
        command = ["bash", "-e", "-c", step(self.workflow, name)["run"]]
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def program(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)

    def read(self, name: str) -> str:
        file = self.folder / name
        return file.read_text() if file.exists() else ""


@pytest.fixture
def runner(workflow: dict[Any, Any], tmp_path: Path) -> StepRunner:
    return StepRunner(tmp_path, workflow)


def test_every_script_is_valid_bash(workflow: dict[Any, Any]) -> None:
    for script in [each["run"] for each in steps(workflow) if "run" in each]:
        subprocess.run(["bash", "-n", "-c", script], check=True, timeout=60)


def test_key_file_is_private_and_absent_without_a_key(runner: StepRunner) -> None:
    name = "Write the canary key to a file"
    assert runner.run(name, CANARY_KEY="").returncode == 0
    assert not (runner.folder / "canary.pem").exists()
    assert runner.run(name, CANARY_KEY="-----BEGIN\nx").returncode == 0
    assert runner.read("canary.pem") == "-----BEGIN\nx\n"
    assert (runner.folder / "canary.pem").stat().st_mode & 0o077 == 0
    assert runner.read("env") == f"KALSHI_PRIVATE_KEY_FILE={runner.folder}/canary.pem\n"
    assert runner.run("Remove the key").returncode == 0
    assert not (runner.folder / "canary.pem").exists()


@pytest.mark.parametrize(
    ("suite", "status", "output"),
    [("exit 1", 1, "drift=true\n"), ("touch report.txt", 0, ""), ("exit 0", 1, "")],
    ids=["drift", "no drift", "skipped"],
)
def test_failing_suite_means_drift_and_a_skipped_suite_is_a_failure(
    runner: StepRunner, suite: str, status: int, output: str
) -> None:
    runner.program(".venv/bin/pytest", f"#!/bin/sh\n{suite}\n")
    ended = runner.run("Check the vendors", KALSHI_CONTRACT_REPORT="report.txt")
    assert (ended.returncode, runner.read("output")) == (status, output)


def test_typed_findings_are_passed_to_acknowledge_as_arguments(runner: StepRunner) -> None:
    runner.program(".venv/bin/python", '#!/bin/sh\nprintf "%s|" "$@" >> calls\n')
    ended = runner.run("Acknowledge findings", FINDINGS="12 $(touch x) *", WHY="on purpose; $(touch y)")
    assert ended.returncode == 0, ended.stderr
    assert "acknowledge|--who|me|--why|on purpose; $(touch y)|--|12|" in runner.read("calls")
    assert not {"x", "y"} & {file.name for file in runner.folder.iterdir()}


def test_one_issue_is_opened_updated_and_closed(runner: StepRunner) -> None:
    runner.program("bin/gh", FAKE_GH.format(python=sys.executable))

    def night(report: str | None, drift: str = "true") -> list[str]:
        (runner.folder / "calls").unlink(missing_ok=True)
        (runner.folder / "report.txt").unlink(missing_ok=True)
        if report is not None:
            (runner.folder / "report.txt").write_text(report)
        fixed: Mapping[str, str] = {"TITLE": "A vendor does not keep its contract", "GH_TOKEN": "t"}
        ended = runner.run(
            "Keep one issue, open while a contract is broken", RUN_URL="http://run", DRIFT=drift, **fixed
        )
        assert ended.returncode == 0, ended.stderr
        return runner.read("calls").split()

    assert night(None, drift="") == ["list"]
    assert night("one\n") == ["list", "create"]
    assert night("one\n") == ["list", "view"]
    assert night("two\n" + "é" * 40_000) == ["list", "view", "edit", "comment"]
    body = json.loads(runner.read("issue.json"))["body"]
    assert "http://run" in body
    assert "two\né" in body
    assert len(body.encode()) < 51_000
    assert night(None) == ["list", "view", "edit", "comment"]
    assert "There is no report" in runner.read("issue.json")
    assert night(None, drift="") == ["list", "close"]
    assert night("one\n") == ["list", "create"]

"""Tests of the ``.sql`` files with the journal's guards: the package contains the files, and the code reads them."""

import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from kalshi_pipelines.execution.journal.guards import guard_statements, templates
from kalshi_pipelines_tests.support.checkout import CHECKOUT

FOLDER = Path(templates.__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.sql"))
#: Rules that are written for one kind of database.
OF_ONE_DATABASE = {
    "sqlite": [("inbox", "login"), ("inbox", "number"), ("inbox", "clock")],
    "postgresql": [("inbox", "number")],
}
RULES = ("inbox", "send", "admit", "caps")


def test_sql_files_are_in_the_wheel() -> None:
    files = {file.distribution_path for file in WheelBuilder(str(CHECKOUT)).recurse_included_files()}
    assert {f"kalshi_pipelines/execution/journal/guards/{name}.sql" for name in NAMES} - files == set()
    assert {"postgres", "sqlite", *RULES} - set(NAMES) == set()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_guard_statements_have_every_rule_once_and_no_open_parameter(dialect: str) -> None:
    text = "\n".join(guard_statements(dialect))
    raised = re.findall(r"'(inbox|send|admit|cap)_guard:(\w+)'", text)
    wanted = [(name.removesuffix("s"), rule.reason) for name in RULES for rule in templates.read_template(name).rules]
    assert sorted(raised) == sorted([*wanted, *OF_ONE_DATABASE[dialect]])
    assert re.search(r"[{}%]|--|  ", text) is None


def test_every_rule_says_in_a_comment_what_it_refuses() -> None:
    for name in RULES:
        lines = (FOLDER / f"{name}.sql").read_text().splitlines()
        markers = [number for number, line in enumerate(lines) if line.startswith("-- refuse")]
        assert all(lines[number + 1].startswith("-- ") for number in markers), name


def test_sql_above_the_first_part_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, monkeypatch, "SELECT 1\n-- name: one\nSELECT 2\n")
    with pytest.raises(ValueError, match="SQL above its first part: SELECT 1"):
        templates.read_template("broken")


def test_two_parts_of_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, monkeypatch, "-- name: one\nSELECT 1\n-- name: one\nSELECT 2\n")
    with pytest.raises(ValueError, match="a second part with the name one"):
        templates.read_template("broken")


def test_an_unknown_parameter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(tmp_path, monkeypatch, "-- A comment.\n-- name: one\n-- Why.\nSELECT (\n    {known} -\n    {unknown}\n);\n")
    template = templates.read_template("broken")
    assert template.fill("one", {"known": 1, "unknown": 2}) == "SELECT (1 - 2)"
    with pytest.raises(KeyError, match="unknown"):
        template.fill("one", {"known": 1})


def _write(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (folder / "broken.sql").write_text(text)
    monkeypatch.setattr(templates, "__file__", str(folder / "templates.py"))
    templates.read_template.cache_clear()

"""Tests of the tiers: slow tests are recognized by their code and run first, and fast tests cannot start processes."""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from kalshi_pipelines_tests.support import preloaded, tiers
from kalshi_pipelines_tests.support.tiers import Guard, LeftTheProcess, Reading, spread


def starts_a_process() -> None:
    subprocess.run(["true"], check=True)


def calls_a_helper() -> None:
    starts_a_process()


def calls_a_helper_of_a_module() -> None:
    preloaded.run_preloaded([], Path(), {}, 1)


class Shell:
    """A class whose constructor starts a process."""

    def __init__(self) -> None:
        starts_a_process()


def makes_a_shell() -> None:
    Shell()


def calls_itself(times: int) -> None:
    if times:
        calls_itself(times - 1)


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (starts_a_process, True),
        (calls_a_helper, True),
        (calls_a_helper_of_a_module, True),
        (makes_a_shell, True),
        (calls_itself, False),
    ],
)
def test_code_that_starts_a_process_is_found_through_its_helpers(function: Any, found: bool) -> None:
    assert Reading()._has_a_name(function) == found


def test_fixtures_decide_whether_a_test_is_fast(engine: sa.Engine, request: pytest.FixtureRequest) -> None:
    marked = request.node.get_closest_marker(tiers.MARKER) is not None
    assert marked == (engine.dialect.name == "postgresql")


def test_guard_refuses_a_process_only_while_it_is_on() -> None:
    guard = Guard()
    guard._watch("subprocess.Popen", ("true",))
    guard.is_on = True
    guard._watch("open", ("a file",))
    with pytest.raises(LeftTheProcess, match=r"subprocess\.Popen"):
        guard._watch("subprocess.Popen", ("true",))


def test_long_modules_come_first_in_every_share_and_no_test_is_lost() -> None:
    def item(module: int, *, long: bool) -> SimpleNamespace:
        return SimpleNamespace(path=Path(f"test_{module}.py"), get_closest_marker=lambda _: long or None)

    items = [item(module, long=module in {3, 7}) for module in range(10) for _ in range(10)]
    ordered = spread(cast("list[pytest.Item]", items), 2)
    assert sorted(map(id, ordered)) == sorted(map(id, items))
    assert [ordered[start].path.name for start in (0, 50)] == ["test_3.py", "test_7.py"]

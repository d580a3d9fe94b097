"""The shell's environment is found above all processes of Dagster, or it counts as unknown."""

from collections.abc import Mapping

import pytest

from kalshi_pipelines.variables.process_tree import ShellEnvironment, StartedProcess, is_dagster_command, trace_shell

PYTHON = "/venv/bin/python3.11"
DEV = (PYTHON, "/venv/bin/dagster", "dev")
SERVER = (PYTHON, "-m", "dagster", "api", "grpc", "--instance-ref", "{}")
WORKER = (PYTHON, "-c", "from multiprocessing.spawn import spawn_main; spawn_main()", "--multiprocessing-fork")
SHELL = ("/bin/bash",)
ENVIRONMENT = {"KALSHI_TRADE_MODE": "dry_run"}


@pytest.mark.parametrize(
    ("line", "is_dagster"),
    [
        ("/venv/bin/dagster dev", True),
        ("dagster-daemon run", True),
        ("/usr/bin/python3 /venv/bin/dagster-webserver", True),
        ("python -X utf8 -W error -u -m dagster job execute", True),
        ("python -Wd -m dagster_webserver --port 1", True),
        ("python -m dagster._daemon run", True),
        ("python -m coverage run -m dagster job execute", True),
        ("python -m debugpy --listen 1 /venv/bin/dagster dev", True),
        ("python -m pytest dagster", False),
        ("python -c import_something dagster", False),
        ("python wrapper.py dagster dev", False),
        ("bash -c dagster", False),
        ("uv run dagster dev", False),
        ("python", False),
        ("", False),
    ],
)
def test_commands_of_dagster_are_recognised(line: str, is_dagster: bool) -> None:
    assert is_dagster_command(line.split()) is is_dagster


def _trace(*chain: tuple[tuple[str, ...], Mapping[str, str] | None] | None) -> ShellEnvironment | None:
    """Trace a chain of processes, this one first. None stands for a process that cannot be read."""
    processes = {
        number: None if each is None else StartedProcess(each[0], number + 1 if number < len(chain) else 0, each[1])
        for number, each in enumerate(chain, 1)
    }
    own = processes[1]
    assert own is not None
    return trace_shell(own, processes.get)


def test_environment_of_the_topmost_dagster_is_the_shell_s() -> None:
    over = {"KALSHI_TRADE_MODE": "live"}
    known = ShellEnvironment(ENVIRONMENT, is_known=True)
    assert _trace((WORKER, over), (SERVER, over), (DEV, ENVIRONMENT), (SHELL, {})) == known
    assert _trace((DEV, ENVIRONMENT), (SHELL, {})) == known
    assert _trace((DEV, ENVIRONMENT)) == known


def test_environment_that_cannot_be_read_is_unknown() -> None:
    unknown = ShellEnvironment({}, is_known=False)
    assert _trace((SERVER, ENVIRONMENT), (SHELL, {})) == unknown
    assert _trace((WORKER, ENVIRONMENT), (SERVER, ENVIRONMENT), (("/sbin/init",), {})) == unknown
    assert _trace((DEV, None), (SHELL, {})) == unknown
    assert _trace((DEV, ENVIRONMENT), None) == unknown


def test_other_programs_are_left_alone() -> None:
    assert _trace(((PYTHON, "-m", "kalshi_pipelines.execution", "trade"), ENVIRONMENT), (DEV, {})) is None
    assert _trace((WORKER, ENVIRONMENT), ((PYTHON, "-m", "pytest"), {})) is None

"""Tests that code for proposing orders never loads code for sending. Only one package writes to the exchange."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import kalshi_pipelines
from kalshi_pipelines_tests.support.checkout import CHECKOUT

PACKAGE = Path(kalshi_pipelines.__file__).parent
EXECUTION = PACKAGE / "execution"
#: Modules that the process of a proposing agent imports.
INBOX = ("kalshi_pipelines.execution.inbox.proposals", "kalshi_pipelines.execution.inbox.files")
#: Modules that the process of a proposing agent must never have in memory.
OUT_OF_REACH = (
    "kalshi_pipelines.execution.transport",
    "kalshi_pipelines.execution.executor",
    "kalshi_pipelines.execution.service",
    "kalshi_pipelines.execution.gates",
    "kalshi_pipelines.execution.kill",
    "kalshi_pipelines.execution.reconciliation",
    "kalshi_pipelines.execution.journal.journal",
    "kalshi_pipelines.execution.journal.transaction",
    "kalshi_pipelines.execution.journal.writing",
    "kalshi_pipelines.kalshi",
    "httpx",
    "urllib3",
    "requests",
    "dagster",
)
#: Packages of ``execution/`` that can send orders, cancel orders, or decide about orders.
SENDING = ("transport", "executor", "kill", "reconciliation", "service")
_WRITES = {"post", "put", "patch", "delete"}
_SENDERS = {"httpx", "urllib3", "requests", "aiohttp", "http", "urllib", "socket", "websockets", "kalshi_python_sync"}


def sources(folder: Path) -> Iterator[tuple[Path, ast.Module]]:
    for file in sorted(folder.rglob("*.py")):
        yield file, ast.parse(file.read_text(), str(file))


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the names of all modules that a file imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def writes(tree: ast.AST) -> Iterator[int]:
    """Yield the lines of calls that name a writing HTTP method, as the function or as an argument."""
    for call in calls(tree):
        given = [*call.args, *(keyword.value for keyword in call.keywords)]
        texts = {each.value.lower() for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)}
        if (isinstance(call.func, ast.Attribute) and call.func.attr in _WRITES) or texts & _WRITES:
            yield call.lineno


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_F39_proposing_process_never_loads_code_that_can_send() -> None:
    code = (
        f"import sys, {', '.join(INBOX)}\n"
        f"out_of_reach = {OUT_OF_REACH!r}\n"
        "print([name for name in sys.modules for far in out_of_reach if name == far or name.startswith(far + '.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_F39_import_contracts_name_every_room_that_sends() -> None:
    contracts = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    of_name = {contract["name"]: contract for contract in contracts}
    proposing = of_name["The inbox cannot reach the code that sends"]
    assert proposing["source_modules"] == ["kalshi_pipelines.execution.inbox"]
    assert {f"kalshi_pipelines.execution.{room}" for room in SENDING} <= set(proposing["forbidden_modules"])
    collecting = of_name["Ingest, contracts and alerts cannot reach trading"]
    rooms = ("news", "history", "ingest", "bookkeeping", "lake", "alerts", "contracts", "analytics", "upkeep", "data")
    there = {f"kalshi_pipelines.{room}" for room in rooms if list(PACKAGE.glob(f"{room}*"))}
    assert set(collecting["source_modules"]) == there
    assert collecting["forbidden_modules"] == ["kalshi_pipelines.execution"]


def test_F39_execution_imports_nothing_by_name_at_run_time() -> None:
    """Import contracts cannot see that code imports a module by a string, so no code in ``execution/`` may do that."""
    for file, tree in sources(EXECUTION):
        assert not {"importlib", "runpy", "pickle", "marshal", "shelve"} & set(imported(tree)), file
        named = {node.func.id for node in calls(tree) if isinstance(node.func, ast.Name)}
        assert not {"__import__", "eval", "exec", "compile"} & named, file


def test_F38_only_the_transport_can_reach_a_network() -> None:
    for file, tree in sources(EXECUTION):
        names = {name for name in imported(tree) if not name.startswith("urllib.parse")}
        reaching = {name for name in names if name.split(".")[0] in _SENDERS}
        assert not reaching or file.parent.name == "transport", (file, reaching)


def test_F38_read_only_client_has_no_write_method() -> None:
    """The client that ingests and contract checks use never calls an HTTP method that writes."""
    for file, tree in sources(PACKAGE / "kalshi"):
        assert not list(writes(tree)), file
    for line in ("http.post(u)", "http.request('POST', u)", "http.request(url=u, method='delete')", "f(method='PUT')"):
        assert list(writes(ast.parse(line))) == [1], line
    assert list(writes(ast.parse("http.request('GET', u)"))) == []

"""Rules of the house that no import contract can express."""

import ast
from collections.abc import Iterator
from pathlib import Path

from kalshi_pipelines_tests.support.checkout import CHECKOUT

TESTS = CHECKOUT / "kalshi_pipelines_tests"


def imported_modules(path: Path) -> Iterator[str]:
    """Return the absolute name of each module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield str(node.module)


def is_a_test_module(name: str) -> bool:
    file = CHECKOUT / f"{name.replace('.', '/')}.py"
    return file.is_file() and file.is_relative_to(TESTS) and file.name.startswith(("test_", "conftest"))


def test_nothing_imports_a_test_module_or_a_conftest() -> None:
    wrong = {
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for path in TESTS.rglob("*.py")
        for name in imported_modules(path)
        if is_a_test_module(name)
    }
    assert sorted(wrong) == [], "move what is shared to kalshi_pipelines_tests/support/"

"""Rules about the structure of the code that import-linter cannot express."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from kalshi_pipelines_tests.support.checkout import CHECKOUT

TESTS: Final = CHECKOUT / "kalshi_pipelines_tests"
PRODUCT: Final = CHECKOUT / "kalshi_pipelines"
#: Number of times that each folder may turn the formatter off. These numbers may only decrease.
FORMAT_SKIPS: Final = {"kalshi_pipelines": 34, "kalshi_pipelines_tests": 47, "migrations": 0}


def imported_modules(path: Path) -> Iterator[str]:
    """Yield the absolute name of each module that a file imports, also inside functions."""
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


def modules_of_the_product() -> Iterator[ModuleType]:
    for path in sorted(PRODUCT.rglob("*.py")):
        if path.name != "__main__.py":  # a ``__main__`` module only starts a command
            name = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
            yield importlib.import_module(name.removesuffix(".__init__"))


def own_classes() -> dict[str, list[type]]:
    """Return the classes defined in ``kalshi_pipelines``, by name."""
    found: dict[str, list[type]] = {}
    for module in modules_of_the_product():
        for name, member in vars(module).items():
            if isinstance(member, type) and member.__module__ == module.__name__ and member.__name__ == name:
                found.setdefault(name, []).append(member)
    return found


def chain(cls: type) -> list[type]:
    """Return the longest chain of inheritance that ends with a class, counting only classes of ``kalshi_pipelines``.

    Protocols do not count, because they hold no code. Classes that pydantic generates for a generic do not count
    either.
    """
    longest = max((chain(base) for base in cls.__bases__), key=len, default=[])
    is_protocol, is_made_by_pydantic = getattr(cls, "_is_protocol", False), "[" in cls.__name__
    is_own = cls.__module__.startswith("kalshi_pipelines.") and not is_protocol and not is_made_by_pydantic
    return [*longest, cls] if is_own else longest


def test_no_class_but_an_error_stands_on_more_than_one_other() -> None:
    deep = [
        " > ".join(each.__qualname__ for each in chain(cls))
        for classes in own_classes().values()
        for cls in classes
        if not issubclass(cls, BaseException) and len(chain(cls)) > 2
    ]
    assert deep == [], "a chain of three classes: compose instead"


def test_public_class_name_has_one_meaning() -> None:
    shared = {
        name: sorted(cls.__module__ for cls in classes)
        for name, classes in own_classes().items()
        if len(classes) > 1 and not name.startswith("_")
    }
    assert shared == {}, "give the less central class a name of its own"


@pytest.mark.parametrize(("folder", "allowed"), FORMAT_SKIPS.items())
def test_number_of_format_skips_never_grows(folder: str, allowed: int) -> None:
    mark = " ".join(("# fmt:", "skip"))
    skips = sum(path.read_text().count(mark) for path in (CHECKOUT / folder).rglob("*.py"))
    assert skips <= allowed, "let ruff format the code, or lay out a table of data elsewhere"

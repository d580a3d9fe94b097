"""The two tiers of tests, fast and whole suite, and the order in which several workers run the tests.

The fast tier leaves out each test that starts a process or a server, opens a socket, migrates a database, or runs a
state machine. This is decided by the names in the code of the test, its fixtures and its helpers, so there is no
list of tests. With ``--fast``, a guard raises an error if a remaining test still starts a process or opens a socket.
"""

import inspect
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import pytest

MARKER: Final = "whole_suite"
_TESTS: Final = "kalshi_pipelines_tests"
#: Names in code that starts processes or servers, or that runs parts of the product that start some.
_STARTERS: Final = frozenset(
    {
        "Controller",
        "Popen",
        "ProcessPoolExecutor",
        "ThreadingHTTPServer",
        "create_server",
        "execute_in_process",
        "fork",
        "materialize",
        "multiprocessing",
        "running_cluster",
        "running_sandbox",
        "subprocess",
        "uvicorn",
    }
)
#: Names in code that migrates a database or runs a state machine.
_LONG_WORK: Final = frozenset({"downgrade", "migrate", "run_state_machine_as_test", "upgrade"})
_LEAVING_EVENTS: Final = frozenset(
    {"os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "socket.bind", "socket.connect"}
    | {"subprocess.Popen"}
)


class LeftTheProcess(Exception):
    """A test of the fast tier started a process or opened a socket."""


class Reading:
    """Searches test code for names that exclude a test from the fast tier. Results are remembered."""

    def __init__(self) -> None:
        self._known: dict[object, bool] = {}

    def is_for_the_whole_suite(self, item: pytest.Function) -> bool:
        """Return whether the fast tier leaves a test out because of a name in its code, fixtures or helpers."""
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        if any("postgres" in each.split() for each in parameters if isinstance(each, str)):
            return True  # the test asks for the Postgres fixture at run time, so its signature does not name it
        fixtures = chain.from_iterable(item._fixtureinfo.name2fixturedefs.values())
        return any(self._has_a_name(code) for code in (item.function, *(each.func for each in fixtures), *parameters))

    def _has_a_name(self, code: object) -> bool:
        code = inspect.unwrap(code.func if isinstance(code, partial) else code)  # type: ignore[arg-type]
        if not (isinstance(code, FunctionType | type) and code.__module__.startswith(_TESTS)):
            return False
        if code not in self._known:
            self._known[code] = False  # ends the recursion if the function calls itself
            functions = [code] if isinstance(code, FunctionType) else _methods(code)
            self._known[code] = any(self._function_has_a_name(function) for function in functions)
        return self._known[code]

    def _function_has_a_name(self, function: FunctionType) -> bool:
        names = set(_names(function.__code__))
        return bool(names & (_STARTERS | _LONG_WORK)) or any(
            self._has_a_name(used) for used in _used(names, function.__globals__)
        )


def spread(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Order the tests so that each worker begins with modules that the fast tier leaves out.

    xdist gives each worker an equal share of consecutive tests, and idle workers steal from the end of other shares.
    The modules put first hold the longest tests, and a module of few tests holds longer tests than a module of many. A
    long test at the end would keep one worker busy alone.
    """
    long_modules: list[list[pytest.Item]] = []
    quick: list[pytest.Item] = []
    for _, group in groupby(items, key=lambda item: item.path):
        module = list(group)
        if any(item.get_closest_marker(MARKER) for item in module):
            long_modules.append(module)
        else:
            quick += module
    shares: list[list[pytest.Item]] = [[] for _ in range(workers)]
    for number, module in enumerate(sorted(long_modules, key=len)):
        shares[number % workers] += module
    size = -(-len(items) // workers)
    for share in shares:
        missing = max(size - len(share), 0)
        share.extend(quick[:missing])
        del quick[:missing]
    return [*chain.from_iterable(shares), *quick]


class Guard:
    """An audit hook that raises an error if a test starts a process or opens a socket.

    The hook cannot be removed from a Python process, but it acts only while ``is_on`` is true.
    """

    def __init__(self) -> None:
        self.is_on = False

    def put_up(self) -> None:
        """Install the hook in this process."""
        sys.addaudithook(self._watch)

    def _watch(self, event: str, details: tuple[Any, ...]) -> None:
        if self.is_on and event in _LEAVING_EVENTS:
            raise LeftTheProcess(
                f"A fast test must not leave its process, but this is {event} {details[:2]}. Name what it calls in "
                f"{_TESTS}/support/tiers.py, or mark the test with `@pytest.mark.{MARKER}`."
            )


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _used(names: Iterable[str], module: dict[str, Any]) -> Iterator[object]:
    """Yield the functions and classes that a function names, also those it takes from other modules of the tests."""
    found = [module[name] for name in names if name in module]
    for each in found:
        if isinstance(each, ModuleType) and each.__name__.startswith(_TESTS):
            yield from (vars(each)[name] for name in names if name in vars(each))
        else:
            yield each


def _methods(cls: type) -> list[FunctionType]:
    plain = (each.__func__ if isinstance(each, classmethod | staticmethod) else each for each in vars(cls).values())
    return [each for each in plain if isinstance(each, FunctionType)]

"""Mutants of the journal's triggers, which are written in SQL.

``python -m kalshi_pipelines_tests.tools.mutants rules`` makes them. Each mutant leaves out a trigger, does not raise an
error, or changes an operator. Its tests run in a process of their own, and on SQLite only. The triggers on Postgres are
generated from the same text.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from kalshi_pipelines.execution.journal.guards import statements as guards
from kalshi_pipelines_tests.support.migrated import journal_at_head
from kalshi_pipelines_tests.tools.mutants.rooms import UNSHRUNK

_TESTS: Final = ("journal/test_refusals.py", "journal/test_ledger.py", "threats/test_journal_threats.py")
_OPERATORS: Final = {
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "+": "-",
    "-": "+",
    "OR": "AND",
    "NOT EXISTS": "EXISTS",
}
_OPERATOR: Final = re.compile(r" (<=|>=|<|>|\+|-|OR|NOT EXISTS) ")
_RAISED: Final = re.compile(r"THEN RAISE\(ABORT, '[^']+'\)")
_SHOWN: Final = 60

Mutant = tuple[str, list[str]]
"""A description of the change, and the statements of all triggers with this change."""


def mutants(statements: Sequence[str]) -> Iterator[Mutant]:
    """Yield every mutant that weakens the triggers by a single change."""
    for number, statement in enumerate(statements):
        name = " ".join(statement.split()[2:6])
        before, after = list(statements[:number]), list(statements[number + 1 :])
        yield f"{name}: left out", [*before, *after]
        for found in _RAISED.finditer(statement):
            changed = f"{statement[: found.start()]}THEN NULL{statement[found.end() :]}"
            yield f"{name}: {found[0]}: not raised", [*before, changed, *after]
        for found in _OPERATOR.finditer(statement):
            begin, end = found.span(1)
            changed = f"{statement[:begin]}{_OPERATORS[found[1]]}{statement[end:]}"
            description = " ".join(statement[max(0, begin - _SHOWN) : end + _SHOWN].split())
            yield f"{name}: {found[1]} to {_OPERATORS[found[1]]} in: {description}", [*before, changed, *after]


class KillersFirst:
    """A pytest plugin that runs those tests first that noticed an earlier mutant.

    Args:
        killers: Ids of the tests that noticed an earlier mutant, the latest last.
        noticed: A function that is called with the id of a test that fails.
    """

    def __init__(self, killers: Sequence[str], noticed: Callable[[str], object]) -> None:
        self._places = {killer: place for place, killer in enumerate(reversed(killers))}
        self._noticed = noticed

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Sort the tests: those that noticed an earlier mutant come first."""
        items.sort(key=lambda item: self._places.get(item.nodeid, len(self._places)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Report the id of a failed test."""
        if report.failed:
            self._noticed(report.nodeid)


def survivors(folder: Path) -> tuple[int, list[str]]:
    """Return the number of all mutants of the triggers, and the mutants that no test noticed.

    Raises:
        SystemExit: The tests already fail without a mutant.
    """
    statements = list(guards.guard_statements("sqlite"))
    arguments = [str(folder / "kalshi_pipelines_tests" / "execution" / test) for test in _TESTS]
    arguments += [
        *("-x", "-q", "-n0", "-p", "no:cacheprovider"),
        *("-k", "not postgres and not process and not F12"),
        *UNSHRUNK,
    ]
    # Collecting the tests once imports everything they need, so that forked processes need not import it again.
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*arguments, "--collect-only"])
    if _killer_of(statements, arguments, []) is not None:
        raise SystemExit("the tests fail without any change of the triggers")
    total, left, killers = 0, [], list[str]()
    for description, changed in mutants(statements):
        total += 1
        killer = _killer_of(changed, arguments, killers)
        if killer is None:
            left.append(description)
        else:
            killers = [*(each for each in killers if each != killer), killer]
        sys.stderr.write(f"\r{total} tried, {len(left)} survived")
    return total, left


def _killer_of(statements: list[str], arguments: list[str], killers: Sequence[str]) -> str | None:
    """Return the first failed test; an empty text if pytest itself failed; ``None`` if every test passed."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        journal_at_head.cache_clear()
        guards.guard_statements = lambda _dialect: tuple(statements)  # type: ignore[assignment]
        first = KillersFirst(killers, lambda test: os.write(writing, f"{test}\n".encode()))
        with contextlib.redirect_stdout(io.StringIO()):
            status = pytest.main(arguments, plugins=[first])
        os._exit(0 if status == pytest.ExitCode.OK else 1)
    os.close(writing)
    with os.fdopen(reading) as output:
        names = output.read().splitlines()
    return next(iter(names), "") if os.waitpid(child, 0)[1] else None

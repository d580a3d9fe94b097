"""``python -m kalshi_pipelines_tests.mutants rules``: mutants of the journal's triggers, which are SQL.

One is left out, a reason is not raised, a limit moved. Each is tried in a process of its own, on SQLite; Postgres gets
the same conditions from the same text.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from kalshi_pipelines.execution.journal import guards
from kalshi_pipelines_tests.migrated import journal_at_head
from kalshi_pipelines_tests.mutants.rooms import UNSHRUNK

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
"""What was changed, and all triggers with that change."""


def mutants(statements: Sequence[str]) -> Iterator[Mutant]:
    """Every way to weaken the triggers by one change."""
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
            told = " ".join(statement[max(0, begin - _SHOWN) : end + _SHOWN].split())
            yield f"{name}: {found[1]} to {_OPERATORS[found[1]]} in: {told}", [*before, changed, *after]


def survivors(folder: Path) -> tuple[int, list[str]]:
    """How many mutants there were, and those no test noticed."""
    statements = list(guards._sqlite())
    arguments = [str(folder / "kalshi_pipelines_tests" / "execution" / test) for test in _TESTS]
    arguments += [
        *("-x", "-q", "-n0", "-p", "no:cacheprovider"),
        *("-k", "not postgres and not process and not F12"),
        *UNSHRUNK,
    ]
    total, left = 0, []
    for told, changed in mutants(statements):
        total += 1
        if not _is_noticed(changed, arguments):
            left.append(told)
        sys.stderr.write(f"\r{total} tried, {len(left)} survived")
    return total, left


def _is_noticed(statements: list[str], arguments: list[str]) -> bool:
    child = os.fork()
    if not child:
        journal_at_head.cache_clear()
        guards._sqlite = lambda: iter(statements)
        with contextlib.redirect_stdout(io.StringIO()):
            status = pytest.main(arguments)
        os._exit(0 if status == pytest.ExitCode.OK else 1)
    return os.waitpid(child, 0)[1] != 0

"""Mutation tests cover every function of the executor, and change its guards but not its texts."""

import ast
from collections import Counter
from pathlib import Path

import libcst as cst
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.tools.mutants.operators import OPERATORS, WithoutWords
from kalshi_pipelines_tests.tools.mutants.rooms import ROOMS


def _has_functions(path: Path) -> bool:
    return any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


def test_every_function_of_the_executor_is_in_one_room() -> None:
    execution = CHECKOUT / "kalshi_pipelines" / "execution"
    files = {path.relative_to(CHECKOUT).as_posix() for path in execution.rglob("*.py") if _has_functions(path)}
    patterns = [pattern for room in ROOMS.values() for pattern in room.source_patterns]
    found = Counter(path.relative_to(CHECKOUT).as_posix() for each in patterns for path in CHECKOUT.glob(each))
    assert files - set(found) == set()
    assert {path for path, rooms in found.items() if rooms > 1} == set()
    tests = [CHECKOUT / argument for room in ROOMS.values() for argument in room.test_arguments if "/" in argument]
    assert [path for path in tests if not path.exists()] == []


def _mutants(source: str) -> set[str]:
    module = cst.MetadataWrapper(cst.parse_module(source))
    visitor = WithoutWords([*mutation_operators, *OPERATORS], IgnoredCode(set(), set(), set()))
    module.visit(visitor)
    return {
        cst.ensure_type(module.module.deep_replace(each.original_node, each.mutated_node), cst.Module).code.strip()
        for each in visitor.mutations
    }


def test_guards_are_taken_away_and_words_are_left_as_they_are() -> None:
    source = """
def judged(x, y):
    wanted = "less"
    if x and y:
        raise TooMuch("both", x)
    logger.info("so far %s", y)
    notify(x)
    return check(REASON, x < y, wanted, f"{x}")
"""
    lines = {line.strip() for mutant in _mutants(source) for line in mutant.splitlines()}
    assert lines - {line.strip() for line in source.splitlines()} == {
        "if (x and y) and False:",
        "if (x and y) or True:",
        "if x or y:",
        "if (x):",
        "if (y):",
        "pass",
        'raise TooMuch("both", None)',
        'raise TooMuch("both", )',
        "notify(None)",
        'return check(None, x < y, wanted, f"{x}")',
        'return check(REASON, None, wanted, f"{x}")',
        'return check(x < y, wanted, f"{x}")',
        'return check(REASON, wanted, f"{x}")',
        'return check(REASON, x <= y, wanted, f"{x}")',
    }

"""``python -m kalshi_pipelines_tests.tools.mutants [ROOM ...]``: make mutants of the executor and test them.

A room is a part of the executor together with the tests of that part. Module ``operators`` defines which changes are
made. A survivor is a mutant that no test noticed. The program works on a copy of the checkout, and exits with 1 if a
mutant survived.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Final

from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.tools.mutants.operators import GUARDS_ONLY
from kalshi_pipelines_tests.tools.mutants.rooms import ROOMS, Room
from kalshi_pipelines_tests.tools.mutants.rules import survivors

_COPIED: Final = ("kalshi_pipelines", "kalshi_pipelines_tests", "migrations", "docs", "deploy")
#: Name of the room of the journal's triggers, which are SQL. All other rooms are Python code.
RULES: Final = "rules"
_SURVIVED: Final = 0
#: Number of characters of a line that are shown on each side of a change.
_SHOWN: Final = 100
_DECORATORS: Final = (["property"], ["contextmanager"], ["cache"])
#: Exit statuses of test runs that noticed their mutant, by a failed test or because the run never ended.
_KILLED: Final = frozenset({1, 3, 24, 36, -24, 152, 255})


@dataclass
class Score:
    """The number of mutants of a room that tests noticed, and the names and changes of the other mutants."""

    killed: int = 0
    survivors: list[str] = field(default_factory=list)
    untested: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of all mutants of the room."""
        return self.killed + len(self.survivors) + len(self.untested)

    def __str__(self) -> str:
        return (
            f"{self.killed} of {self.total} mutants noticed ({100 * self.killed / max(1, self.total):.1f} %), "
            f"{len(self.survivors)} survived, {len(self.untested)} without a test"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make mutants of the chosen rooms of the executor, test them, print the survivors, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m kalshi_pipelines_tests.tools.mutants", description=main.__doc__)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"{', '.join(ROOMS)} or {RULES} (default: all)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", type=Path, metavar="FILE", help="test only the survivors in the output of a run")
    parser.add_argument(
        "--guards", action="store_true", help="leave out mutants that only give a wrong value to a call or name"
    )
    given = parser.parse_args(arguments)
    if given.guards:
        os.environ[GUARDS_ONLY] = "1"
    unknown = sorted(set(given.rooms) - {*ROOMS, RULES})
    if unknown:
        parser.error(f"there is no room {', '.join(unknown)}; choose from {', '.join(ROOMS)}, {RULES}")
    missed, only = 0, _names_in(given.again) if given.again else []
    for name in given.rooms or (*ROOMS, RULES):
        score = _score_of_rules() if name == RULES else _score_of(ROOMS[name], given.processes, only)
        print(f"{name}: {score}", flush=True)
        for mutant in (*score.survivors, *score.untested):
            print(f"\n{mutant}", flush=True)
        missed += len(score.survivors) + len(score.untested)
    return 1 if missed else 0


def _score_of_rules() -> Score:
    total, left = survivors(CHECKOUT)
    return Score(total - len(left), left)


def _names_in(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines() if line.startswith("kalshi_pipelines.")]


def _score_of(room: Room, processes: int, only: Sequence[str]) -> Score:
    with tempfile.TemporaryDirectory(prefix="kalshi-mutants-") as folder:
        copy = Path(folder)
        _copy_checkout(copy, room)
        log = copy / "mutmut.log"
        with log.open("w") as output:
            command = [
                sys.executable,
                "-m",
                "kalshi_pipelines_tests.tools.mutants.operators",
                "run",
                "--max-children",
                str(processes),
                *only,
            ]
            done = subprocess.run(command, cwd=copy, stdout=output, stderr=output, check=False)
        metas = list((copy / "mutants").rglob("*.meta"))
        score = Score()
        for meta in metas:
            _add(score, meta)
        if done.returncode or not score.total:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
            raise SystemExit(f"mutmut ended with {done.returncode}:\n{end[-4_000:]}")
        return score


def _copy_checkout(copy: Path, room: Room) -> None:
    for name in _COPIED:
        if (CHECKOUT / name).is_dir():
            shutil.copytree(CHECKOUT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in room.source_patterns:
        for path in copy.glob(pattern):
            if path.suffix == ".py":
                path.write_text(ast.unparse(_Undecorated().visit(ast.parse(path.read_text()))))
    settings = {
        "source_paths": ["kalshi_pipelines/"],
        "only_mutate": room.source_patterns,
        "also_copy": [f"{name}/" for name in _COPIED if (CHECKOUT / name).is_dir()],
        "pytest_add_cli_args_test_selection": room.test_arguments,
        "pytest_add_cli_args": [f"--timeout={room.seconds}"],
        "mutate_only_covered_lines": False,
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    project = (CHECKOUT / "pyproject.toml").read_text()
    (copy / "pyproject.toml").write_text(project + "\n[tool.mutmut]\n" + "\n".join(lines) + "\n")


def _add(score: Score, meta: Path) -> None:
    statuses = json.loads(meta.read_text())["exit_code_by_key"]
    if not statuses:
        return
    functions = _functions(meta.with_suffix(""))
    for key, status in statuses.items():
        if status is None:
            continue
        mutated = key.rpartition(".")[2]
        original = functions[mutated.rpartition("__mutmut_")[0] + "__mutmut_orig"]
        if status in _KILLED:
            score.killed += 1
        else:
            text = f"{key}\n{_difference(original, functions[mutated])}"
            (score.survivors if status == _SURVIVED else score.untested).append(text)


def _functions(file: Path) -> dict[str, ast.AST]:
    return {
        node.name: node
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


class _Undecorated(ast.NodeTransformer):
    """Rewrites ``@property def a`` as ``def a`` and ``a = property(a)``, because mutmut skips decorated functions."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST | list[ast.stmt]:
        """Return the function, followed by a statement that decorates it."""
        decorators = [each.id for each in node.decorator_list if isinstance(each, ast.Name)]
        if len(node.decorator_list) != 1 or decorators[:1] not in _DECORATORS:
            return node
        node.decorator_list = []
        return [node, *ast.parse(f"{node.name} = {decorators[0]}({node.name})").body]


def _difference(original: ast.AST, mutant: ast.AST) -> str:
    """Return two lines: the first line that differs, as it is in the function and as it is in the mutant."""
    for one, other in zip(_statements(original), _statements(mutant), strict=False):
        if one != other:
            return f"  - {_shorten(one, other)}\n  + {_shorten(other, one)}"
    return "  - something at the end"


def _statements(function: ast.AST) -> list[str]:
    """Return the lines of a function's body. Names and decorators are left out: every mutant has a name of its own."""
    return [line.strip() for part in getattr(function, "body", ()) for line in ast.unparse(part).splitlines()]


def _shorten(line: str, other: str) -> str:
    """Return the part of a line that differs from another line, with some characters on each side."""
    begin = _common_length(line, other)
    end = len(line) - _common_length(line[::-1], other[::-1])
    before, after = max(0, begin - _SHOWN), max(begin, end) + _SHOWN
    return f"{'... ' if before else ''}{line[before:after]}{' ...' if after < len(line) else ''}"


def _common_length(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


if __name__ == "__main__":
    sys.exit(main())

"""Docstrings and comments avoid the worst patterns of hard English, and test names stay short.

The patterns were found in this project's own texts when they were rewritten in November 2026. A text that matches needs
another sentence, not another pattern.
"""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from kalshi_pipelines_tests.support.checkout import CHECKOUT

FOLDERS: Final = ("kalshi_pipelines", "kalshi_pipelines_tests", "migrations")
LONGEST_TEST_NAME: Final = 80
_BEGINS: Final = r"(?:^|(?<=[.:;!?]) +|\n\s*)"
PATTERNS: Final = {
    "told (say record, report or show)": r"\btold\b",
    "anew (say again)": r"\banew\b",
    "can not (write cannot)": r"\b[Cc]an not\b",
    "walk (say read or sweep)": r"\b[Aa] walk\b|\bthe walk\b|\bwalks? over\b",
    "a private word": r"\bthe (?:desk|floor|stock|press)\b",
    "a sentence that begins with Who or Whose": _BEGINS + r"(?:Who|Whose|Whom|Whoever)\b[^?]*$",
    "a sentence that begins with a bare What": _BEGINS
    + r"What (?:was|is|of|halts|comes|came|it|they|an?|the)\b[^?.]*[.,;]",
    "a sentence without its subject": _BEGINS + r"(?:That which|Those who|One who|One that|Of one|Of what|Of it)\b",
    "whether what": r"\b[Ww]hether (?:what|who|something of)\b",
    "an old adverb": r"\b(?:thereof|therein|thereby|whereof|hereof)\b",
    "taken down, put up": r"\b(?:took|taken|takes) (?:it |them |guards )?down\b",
}
#: Parts of former sentences that readers could not understand.
UNREADABLE: Final = (
    "a clock that was ahead was at the latest",
    "a clean reconciliation that began since",
    "a quote that was not what it was before",
    "as its contract and its past say",
    "becomes a warehouse in place",
    "can not be read counts as engaged",
    "Everything waits for",
    "fixed and reserved by is as it was",
    "gives a warehouse in place",
    "not those go on",
    "of it the question is taken",
    "automated or late, it is a dry run",
    "something of what it takes",
    "takes another person than",
    "What halts must not fail",
    "What was archived before",
    "What was not asked is not healthy",
)
#: Former names of functions and classes. These names hid the purpose of the code.
FORMER_NAMES: Final = frozenset(
    {
        "Desk",
        "Office",
        "Surroundings",
        "Stock",
        "_turned_away",
        "fenced",
        "given_back",
        "has_tokens_for_an_order",
        "swept",
        "taking_stock",
        "together",
        "told",
    }
)
_TOOL_COMMENT: Final = re.compile(r"#!?\s*(?:noqa|fmt|type:|pragma|mypy)")


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield docstrings and the documentation of attributes, each with its line."""
    for node in ast.walk(ast.parse(source)):
        body = getattr(node, "body", None)
        for statement in body if isinstance(body, list) else ():
            value = statement.value if isinstance(statement, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield statement.lineno, value.value


def _comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield comments, each with its line. Comments on consecutive lines are one text."""
    first, last, lines = 0, -1, list[str]()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT or _TOOL_COMMENT.match(token.string):
            continue
        if token.start[0] != last + 1 and lines:
            yield first, " ".join(lines)
            lines = []
        first = token.start[0] if not lines else first
        last = token.start[0]
        lines.append(token.string.lstrip("#: "))
    if lines:
        yield first, " ".join(lines)


def _files() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from sorted((CHECKOUT / folder).rglob("*.py"))


@cache
def _texts() -> list[tuple[str, str]]:
    """Return each docstring and comment of the project with its place."""
    texts = []
    for file in _files():
        if file.samefile(__file__):
            continue  # this file itself, which contains the forbidden patterns
        source = file.read_text("utf-8")
        for line, text in (*_docstrings(source), *_comments(source)):
            texts.append((f"{file.relative_to(CHECKOUT)}:{line}", text))
    return texts


@pytest.mark.parametrize("name", PATTERNS)
def test_docstrings_and_comments_avoid_the_pattern(name: str) -> None:
    pattern = re.compile(PATTERNS[name])
    assert [f"{place}: {text.strip()[:100]}" for place, text in _texts() if pattern.search(text)] == []


def test_test_names_have_at_most_80_characters() -> None:
    names = [
        f"{file.relative_to(CHECKOUT)}: {node.name}"
        for file in _files()
        if file.name.startswith("test_")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        if len(node.name) > LONGEST_TEST_NAME
    ]
    assert names == []


def test_pattern_search_reads_docstrings_attribute_texts_and_joined_comments() -> None:
    source = '"""Told."""\n\nLIMIT = 1\n"""Anew."""\n# One\n# two.\nx = 2  # noqa: E501\ny = 3  # three\n'
    assert list(_docstrings(source)) == [(1, "Told."), (4, "Anew.")]
    assert list(_comments(source)) == [(5, "One two."), (8, "three")]


def test_no_page_or_text_has_a_sentence_that_readers_could_not_understand() -> None:
    pages = [*CHECKOUT.glob("*.md"), *(CHECKOUT / "docs").rglob("*.md"), *(CHECKOUT / "deploy").rglob("*.*")]
    wrong = [
        f"{file.relative_to(CHECKOUT)}: {part}"
        for file in (*pages, *_files())
        if not file.samefile(__file__)
        for part in UNREADABLE
        if part.lower() in " ".join(file.read_text(errors="replace").split()).lower()
    ]
    assert wrong == []


def test_no_file_class_or_function_has_a_former_name() -> None:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    wrong = [
        f"{file.relative_to(CHECKOUT)}: {name}"
        for file in _files()
        for name in (
            file.stem,
            *(node.name for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, kinds)),
        )
        if name in FORMER_NAMES
    ]
    assert wrong == [], "a command is an imperative, a value a noun of the field"

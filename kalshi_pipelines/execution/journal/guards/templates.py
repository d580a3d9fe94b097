"""A reader of the ``.sql`` files with the journal's guards.

A line ``-- name: <name>`` begins a part, and ``-- refuse: <reason>`` begins a rule: a condition under which a guard
refuses a row. ``-- refuse in <kind> scopes: <reason>`` begins a rule for scopes of one kind. All other lines that begin
with ``--`` are comments. A parameter is written ``{name}`` and is replaced by a Python value or by the part with this
name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

_MARKER: Final = re.compile(r"^-- (?:name: (?P<name>\w+)|refuse(?: in (?P<kind>\w+) scopes)?: (?P<reason>\w+))$")


@dataclass(frozen=True, slots=True)
class Rule:
    """A condition under which a guard refuses a row, and the reason that the refusal gives.

    ``scope_kind`` limits the rule to scopes of one kind.
    """

    condition: str
    reason: str
    scope_kind: str | None = None


@dataclass(frozen=True)
class Template:
    """The parts and rules of one or more ``.sql`` files. Each part and each rule is a single line without comments."""

    parts: dict[str, str] = field(default_factory=dict)
    rules: list[Rule] = field(default_factory=list)

    def fill(self, part: str, values: Mapping[str, object]) -> str:
        """Return the SQL of a part with its parameters replaced.

        Raises:
            KeyError: A parameter has neither a value nor a part of its name.
        """
        return self.fill_text(self.parts[part], values)

    def fill_text(self, text: str, values: Mapping[str, object]) -> str:
        """Return a text with its parameters replaced.

        If a parameter is replaced by a part, the parameters in that part are replaced, too.
        """
        return one_line(text.format_map(_Parameters(self, values)))


@dataclass(frozen=True, slots=True)
class _Parameters:
    template: Template
    values: Mapping[str, object]

    def __getitem__(self, name: str) -> object:
        return self.values[name] if name in self.values else self.template.fill(name, self.values)


@cache
def read_template(*names: str) -> Template:
    """Return the parts and rules of some ``.sql`` files in this folder.

    Raises:
        ValueError: A file has SQL above its first line ``-- name`` or ``-- refuse``, or two parts have the same name.
    """
    template = Template()
    for name in names:
        path = Path(__file__).with_name(f"{name}.sql")
        for marker, text in _sections(path):
            if marker["reason"]:
                template.rules.append(Rule(text, marker["reason"], marker["kind"]))
            elif marker["name"] in template.parts:
                raise ValueError(f"{path} has a second part with the name {marker['name']}")
            else:
                template.parts[marker["name"]] = text
    return template


def one_line(text: str) -> str:
    """Return SQL on a single line, so that the layout of a file does not change a guard.

    Journals in use store each statement of a guard as a single line, and Postgres keeps the text of a function exactly.
    Guards are compared with these stored texts, so a new layout of a file must not make a guard look changed.
    """
    return " ".join(text.split()).replace("( ", "(").replace(" )", ")")


def _sections(path: Path) -> list[tuple[re.Match[str], str]]:
    """Return each marker line of a ``.sql`` file (``name`` or ``refuse``) with the SQL below it."""
    sections: list[tuple[re.Match[str], list[str]]] = []
    for line in path.read_text("utf-8").splitlines():
        marker = _MARKER.match(line)
        if marker:
            sections.append((marker, []))
        elif line.strip() and not line.lstrip().startswith("--"):
            if not sections:
                raise ValueError(f"{path} has SQL above its first part: {line}")
            sections[-1][1].append(line)
    return [(marker, one_line(" ".join(lines)).removesuffix(";")) for marker, lines in sections]

"""The words of the dictionary: the meaning of a table, and of each of its columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

#: The source of a value that no vendor sent.
OURS: Final = "this package"
_SUFFIXES: Final = {
    "_microdollars": "millionths of a dollar",
    "_centicontracts": "hundredths of a contract",
    "_us": "microseconds since 1970 UTC",
    "_seconds": "seconds",
}


@dataclass(frozen=True)
class ColumnText:
    """The meaning of a column.

    Attributes:
        text: The meaning of a value, and of NULL.
        source: The vendor's field that the value is from, or how it is made. None for the source of the table.
        unit: The unit. None if the name or the type of the column says it.
    """

    text: str
    source: str | None = None
    unit: str | None = None


@dataclass(frozen=True)
class TableText:
    """The meaning of a table.

    Attributes:
        row: The meaning of a row.
        columns: The meaning of each column that the table does not describe itself (``Column.doc``).
        source: Where the values are from unless a column says otherwise.
        endpoint: The endpoint of the fields that columns name as their sources; empty if they name no fields.
    """

    row: str
    columns: Mapping[str, ColumnText]
    source: str = OURS
    endpoint: str = ""


@dataclass(frozen=True)
class Meaning:
    """The complete meaning of one column, as people see it."""

    text: str
    unit: str
    source: str


def texts(**columns: str | tuple[str, ...]) -> dict[str, ColumnText]:
    """Return the meanings of columns. A tuple has the text, its source, and its unit if the name does not say it."""
    return {name: ColumnText(each) if isinstance(each, str) else ColumnText(*each) for name, each in columns.items()}


def meaning(text: TableText, column: sa.Column[Any]) -> Meaning:
    """Return the meaning of a column.

    Raises:
        KeyError: The dictionary does not describe the column.
    """
    own = text.columns[column.name] if column.name in text.columns else ColumnText(column.doc or "")
    if not own.text:
        raise KeyError(f"describe {column.table.name}.{column.name} in kalshi_pipelines/warehouse/dictionary")
    source = text.source if own.source is None else own.source
    if own.source and text.endpoint and own.source != OURS and " " not in own.source:
        source = f"{text.endpoint}: `{own.source}`"
    return Meaning(own.text, own.unit or unit_of(column), source)


def unit_of(column: sa.Column[Any]) -> str:
    """Return the unit that the name or the type of a column says."""
    for suffix, unit in _SUFFIXES.items():
        if column.name.endswith(suffix):
            return unit
    kind = column.type
    if isinstance(kind, sa.Boolean):
        return "true or false"
    if isinstance(kind, sa.LargeBinary):
        return "bytes"
    return "text" if isinstance(kind, sa.Text) else "number"

"""Metadata that shows a table in Dagster: the columns of a database table, or rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dagster as dg
import sqlalchemy as sa

_UNITS: Final = {
    "_microdollars": "millionths of a dollar",
    "_centicontracts": "hundredths of a contract",
    "_us": "microseconds since 1970 UTC",
}


def table_metadata(table: sa.Table) -> dict[str, Any]:
    """Return the metadata of an asset's definition: name and columns of its database table."""
    return {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    str(column.type),
                    description=_unit(column.name),
                    constraints=dg.TableColumnConstraints(
                        nullable=bool(column.nullable), unique=[column] == list(table.primary_key)
                    ),
                )
                for column in table.columns
            ]
        ),
    }


def _unit(column: str) -> str | None:
    return next((unit for suffix, unit in _UNITS.items() if column.endswith(suffix)), None)


def text_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dg.TableMetadataValue:
    """Return rows of text as a table. The table has the given columns in the given order, even without rows."""
    schema = dg.TableSchema([dg.TableColumn(name, "string") for name in columns])
    return dg.MetadataValue.table([dg.TableRecord({name: row[name] for name in columns}) for row in rows], schema)

"""Metadata that shows a table in Dagster: the columns of a database table or of a dataset, or rows of text."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import Dataset
from kalshi_pipelines.lake.dictionary import field_meaning
from kalshi_pipelines.warehouse.dictionary import Meaning, meaning_of


def table_metadata(table: sa.Table) -> dict[str, Any]:
    """Return the metadata of an asset's definition: name and columns of its database table."""
    return {
        "dagster/table_name": table.name,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    column.name,
                    str(column.type),
                    description=_description(meaning_of(column)),
                    constraints=dg.TableColumnConstraints(
                        nullable=bool(column.nullable), unique=[column] == list(table.primary_key)
                    ),
                )
                for column in table.columns
            ]
        ),
    }


def dataset_metadata(dataset: Dataset) -> dict[str, Any]:
    """Return the metadata of an asset's definition: name and columns of its dataset in the lake."""
    return {
        "dagster/table_name": dataset.name,
        "dagster/column_schema": dg.TableSchema(
            columns=[
                dg.TableColumn(
                    field.name,
                    str(field.type),
                    description=_description(field_meaning(dataset, field.name)),
                    constraints=dg.TableColumnConstraints(nullable=field.nullable, unique=(field.name,) == dataset.key),
                )
                for field in dataset.file_schema
            ]
        ),
    }


def _description(meaning: Meaning) -> str:
    return f"{meaning.text} Unit: {meaning.unit}. Source: {meaning.source}."


def text_table(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> dg.TableMetadataValue:
    """Return rows of text as a table. The table has the given columns in the given order, even without rows."""
    schema = dg.TableSchema([dg.TableColumn(name, "string") for name in columns])
    return dg.MetadataValue.table([dg.TableRecord({name: row[name] for name in columns}) for row in rows], schema)

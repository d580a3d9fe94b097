"""Every column of every table and dataset has a description, a unit and a source."""

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines.lake.dictionary import DATASET_TEXTS, field_meaning
from kalshi_pipelines.warehouse.dictionary import OURS, TABLES, Meaning, TableText, meaning_of
from kalshi_pipelines.warehouse.dictionary.language import meaning
from kalshi_pipelines.warehouse.tables import metadata
from kalshi_pipelines_tests.support.dictionary_page import dictionary_page

COLUMNS = [column for table in metadata.sorted_tables for column in table.columns]
FIELDS = [(name, field.name) for name, dataset in DATASETS.items() for field in dataset.schema]


def faults_of(found: Meaning) -> list[str]:
    """Return what a meaning lacks."""
    faults = [name for name in ("text", "unit", "source") if not getattr(found, name)]
    faults += [] if found.text.endswith(".") else ["a full stop"]
    # The page shows meanings in a table of Markdown.
    return faults + (["no line of a table"] if "|" in f"{found.text}{found.unit}{found.source}" else [])


def test_every_column_of_the_warehouse_has_description_unit_and_source() -> None:
    assert {str(column): faults for column in COLUMNS if (faults := faults_of(meaning_of(column)))} == {}


def test_every_column_of_the_lake_has_description_unit_and_source() -> None:
    found = {each: field_meaning(DATASETS[each[0]], each[1]) for each in FIELDS}
    assert {each: faults for each, one in found.items() if (faults := faults_of(one))} == {}


def test_meaning_of_null_is_said_for_every_column_that_can_be_null() -> None:
    """In the tables of placeholders, every fact can be NULL, and the row says so."""
    placeholders = [name for name in TABLES if "is_placeholder" in metadata.tables[name].c]
    assert all("NULL" in TABLES[name].row for name in placeholders)
    nullable = [column for column in COLUMNS if column.nullable and column.table.name not in placeholders]
    assert [str(column) for column in nullable if "NULL" not in meaning_of(column).text] == []


def test_dictionary_has_exactly_the_tables_datasets_and_columns() -> None:
    assert TABLES.keys() == metadata.tables.keys()
    assert DATASET_TEXTS.keys() == DATASETS.keys()
    for name, text in TABLES.items():
        assert text.columns.keys() <= set(metadata.tables[name].columns.keys()), name
    for name, text in DATASET_TEXTS.items():
        assert text.columns.keys() <= set(DATASETS[name].schema.names), name


def test_column_without_a_text_is_an_error_that_names_it() -> None:
    table = sa.Table("novel", sa.MetaData(), sa.Column("colour", sa.Text()), sa.Column("size", sa.Text(), doc="Size."))
    with pytest.raises(KeyError, match=r"novel\.colour"):
        meaning(TableText("A row.", {}), table.c.colour)
    assert meaning(TableText("A row.", {}), table.c.size).source == OURS


def test_page_names_every_column_once() -> None:
    page = dictionary_page()
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    assert len(lines) == len(COLUMNS) + len(FIELDS)
    assert all(line.count(" | ") == 3 for line in lines)

"""Columns of tables and datasets are shown in Dagster with their meaning, unit and source."""

from typing import Any

import dagster as dg

from kalshi_pipelines.defs.tables import dataset_metadata, table_metadata
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.warehouse.tables import metadata, quotes


def columns_of(shown: dict[str, Any]) -> dict[str, dg.TableColumn]:
    return {column.name: column for column in shown["dagster/column_schema"].columns}


def test_column_of_a_table_is_described_with_unit_and_source() -> None:
    shown = columns_of(table_metadata(quotes))
    assert shown["volume_centicontracts"].description == (
        "Contracts traded since the market opened. Unit: hundredths of a contract. Source: GET /markets: `volume_fp`."
    )


def test_column_of_a_dataset_is_described_with_unit_and_source() -> None:
    shown = columns_of(dataset_metadata(PUBLIC_TRADES))
    assert list(shown) == PUBLIC_TRADES.schema.names
    assert shown["contracts"].description == (
        "Contracts traded: each is one YES and one NO. Unit: contracts. Source: GET /markets/trades: `count_fp`."
    )
    assert not shown["ticker"].constraints.unique


def test_every_column_of_every_table_is_described() -> None:
    for table in metadata.sorted_tables:
        assert all(column.description for column in columns_of(table_metadata(table)).values())

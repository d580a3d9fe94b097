"""DuckDB, Polars and pandas read every dataset of the lake exactly, offline, without code of ours."""

from decimal import Decimal
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import DATASETS
from kalshi_pipelines_tests.support.lake.every_dataset import DAY, PLAIN_READERS, expected_rows, rows_of_every_kind
from kalshi_pipelines_tests.support.lake.lakes import local_lake


@pytest.mark.parametrize("name", DATASETS)
def test_plain_readers_return_every_value_exactly(sqlite_engine: sa.Engine, folder: Path, name: str) -> None:
    dataset = DATASETS[name]
    batch = rows_of_every_kind(dataset)
    local_lake(folder).replace_day(sqlite_engine, dataset, DAY, [[batch]], "test")
    expected = expected_rows(batch)
    assert len(expected) == 4
    for reader, read in PLAIN_READERS.items():
        found = read(folder / name, dataset.schema.names)
        assert found == expected, reader
        # Equal decimals can have other digits: 0.57 equals 0.570000.
        assert [[str(each) for each in row if isinstance(each, Decimal)] for row in found] == [
            [str(each) for each in row if isinstance(each, Decimal)] for row in expected
        ], reader

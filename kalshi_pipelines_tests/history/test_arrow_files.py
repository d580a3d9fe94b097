"""Files of rows that wait for their day: a damaged file is never used."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.history.arrow_files import read_about, read_arrow_batches, write_arrow_file
from kalshi_pipelines.history.candles.rows import SCHEMA as CANDLES
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS

SCHEMA = pa.schema([pa.field("ticker", pa.string()), pa.field("rows", pa.int64())])
BATCHES = pa.table({"ticker": ["A", "B", None, "D"], "rows": [1, 2, 3, None]}, SCHEMA).to_batches(max_chunksize=3)


def test_rows_and_their_description_come_back(tmp_path: Path) -> None:
    path = tmp_path / "day" / "1.arrow"
    write_arrow_file(path, SCHEMA, BATCHES, b"about")
    assert read_about(path, SCHEMA) == b"about"
    found = list(read_arrow_batches(path))
    assert [batch.to_pylist() for batch in found] == [batch.to_pylist() for batch in BATCHES]
    assert [batch.to_pylist() for batch in read_arrow_batches(path, [1])] == [BATCHES[1].to_pylist()]
    assert [each.name for each in path.parent.iterdir()] == ["1.arrow"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


@given(data=st.data())
def test_damaged_file_is_not_used_unless_its_rows_are_right(folder: Path, data: st.DataObject) -> None:
    path = folder / "whole.arrow"
    write_arrow_file(path, SCHEMA, BATCHES, b"about")
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] ^= data.draw(st.integers(1, 255))
    damaged = folder / f"{position}.arrow"
    damaged.write_bytes(content[: data.draw(st.sampled_from([len(content), position]))])
    if read_about(damaged, SCHEMA) is not None:
        rows = pa.Table.from_batches(read_arrow_batches(damaged)).to_pylist()
        assert rows == pa.Table.from_batches(BATCHES).to_pylist()


@pytest.mark.parametrize("schema", [CANDLES, SETTLED_MARKETS.schema], ids=["candlesticks", "settled_markets"])
def test_file_of_another_schema_is_not_used(tmp_path: Path, schema: pa.Schema) -> None:
    path = tmp_path / "1.arrow"
    write_arrow_file(path, SCHEMA, BATCHES, b"about")
    assert read_about(path, schema) is None
    write_arrow_file(path, schema, [], b"about")
    assert read_about(path, schema) == b"about"

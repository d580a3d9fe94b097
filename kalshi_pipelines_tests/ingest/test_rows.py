"""Every column of a warehouse row comes from the field that its table names, converted exactly."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.stamps import PROVENANCE, Stamp
from kalshi_pipelines.ingest.rows import (
    EVENT_ROWS,
    MARKET_ROWS,
    ORDERBOOK_ROWS,
    SERIES_ROWS,
    ColumnSource,
    RowLayout,
    row_layout,
    text_digest,
)
from kalshi_pipelines.kalshi.records import BookSides, Event, Market, Orderbook, Series
from kalshi_pipelines.units import instant
from kalshi_pipelines.warehouse.tables import events, markets, orderbook_snapshots, series

STAMP = Stamp(recorded_us=1_795_273_200_000_000, ingest_run_id=17)
#: Columns that sweeps and the upkeep fill, not records.
OF_SWEEPS = {"missing_since_us", "listed_us", "last_settlement_us"}
LAYOUTS = [
    pytest.param(SERIES_ROWS, Series, series, id="series"),
    pytest.param(EVENT_ROWS, Event, events, id="events"),
    pytest.param(MARKET_ROWS, Market, markets, id="markets"),
]


def wire_and_stored(source: ColumnSource, number: int, field_type: Any) -> tuple[Any, Any]:
    """Return a distinct value for a record's field, and the value that the column of this field must hold."""
    if source.column.endswith("_microdollars"):
        return f"0.{number:04}", number * 100
    if source.column.endswith("_centicontracts"):
        return f"{number}.01", number * 100 + 1
    if source.column.endswith("_us"):
        return instant(number), number
    if "Decimal" in str(field_type):
        return Decimal(number), str(number)
    text = f"[{number}]"
    wire = msgspec.Raw(text.encode()) if field_type is msgspec.Raw else text
    return wire, text_digest(text) if source.column.endswith("_digest") else text


@pytest.mark.parametrize(("layout", "record", "table"), LAYOUTS)
def test_every_column_is_filled_from_the_field_its_table_names(
    layout: RowLayout[Any], record: type[msgspec.Struct], table: sa.Table
) -> None:
    types = {field.name: field.type for field in msgspec.structs.fields(record)}
    values = {
        source.field: wire_and_stored(source, number, types[source.field])
        for number, source in enumerate(layout.sources, 1)
    }
    unused = {field: msgspec.Raw() for field in types.keys() - values.keys()}
    row = layout.row(record(**{field: wire for field, (wire, _) in values.items()}, **unused), b"digest", "{}", STAMP)
    provenance = dict(zip(PROVENANCE, ("{}", STAMP.recorded_us, STAMP.recorded_us, 17), strict=True))
    assert dict(zip(layout.columns, row, strict=True)) == {
        **{source.column: values[source.field][1] for source in layout.sources},
        "facts_digest" if table is markets else "record_digest": b"digest",
        "is_placeholder": False,
        **provenance,
    }


@pytest.mark.parametrize(("layout", "record", "table"), LAYOUTS)
def test_a_row_starts_with_its_key_and_fills_every_column_of_the_table(
    layout: RowLayout[Any], record: type[msgspec.Struct], table: sa.Table
) -> None:
    assert layout.columns[0] == table.primary_key.columns[0].name
    assert sorted(layout.columns) == sorted(column.name for column in table.columns if column.name not in OF_SWEEPS)


@pytest.mark.parametrize(("layout", "record", "table"), LAYOUTS)
def test_a_null_or_an_absent_value_becomes_null(
    layout: RowLayout[Any], record: type[msgspec.Struct], table: sa.Table
) -> None:
    types = {field.name: field.type for field in msgspec.structs.fields(record)}
    for raw in (b"", b"null"):
        nothing = {name: msgspec.Raw(raw) if kind is msgspec.Raw else None for name, kind in types.items()}
        row = dict(zip(layout.columns, layout.row(record(**nothing), b"", None, STAMP), strict=True))
        assert {row[source.column] for source in layout.sources} == {None}


def test_an_orderbook_row_holds_best_level_depth_and_levels_of_each_side() -> None:
    book = BookSides([("0.0100", "5.00"), ("0.5700", "343.49")], [("0.4190", "0.01")])
    row = ORDERBOOK_ROWS.row(Orderbook("KX-1", book), b"digest", None, STAMP)
    assert dict(zip(ORDERBOOK_ROWS.columns, row, strict=True)) == {
        "ticker": "KX-1",
        "observed_us": STAMP.recorded_us,
        "ingest_run_id": 17,
        "record_digest": b"digest",
        "best_yes_bid_microdollars": 570_000,
        "best_yes_bid_size_centicontracts": 34_349,
        "yes_depth_centicontracts": 34_849,
        "yes_levels": "[[10000,500],[570000,34349]]",
        "best_no_bid_microdollars": 419_000,
        "best_no_bid_size_centicontracts": 1,
        "no_depth_centicontracts": 1,
        "no_levels": "[[419000,1]]",
        "unknown_fields": None,
    }
    assert set(ORDERBOOK_ROWS.columns) <= set(orderbook_snapshots.columns.keys())


class Pair(msgspec.Struct):
    key: str
    price: str
    extra: str = ""


@pytest.mark.parametrize(
    "table",
    [
        [("key", "key", str)],
        [("key", "key", str), ("price", "price", str), ("again", "price", str)],
        [("key", "key", str), ("price", "prise", str)],
    ],
)
def test_a_table_that_forgets_repeats_or_misspells_a_field_is_refused(table: list[Any]) -> None:
    with pytest.raises(RuntimeError, match="each field of the record"):
        row_layout(Pair, table, left_out=("extra",))

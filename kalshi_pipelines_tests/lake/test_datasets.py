"""Values of the warehouse become exact decimals of the lake, and views show the same values to people."""

from decimal import Decimal

import pyarrow as pa
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.lake.datasets import CONTRACTS, DATASETS, DOLLARS, exact_decimals
from kalshi_pipelines.units import instant
from kalshi_pipelines.warehouse.tables import LAKE_DATASETS
from kalshi_pipelines_tests.support.warehouse.rows import fill


@given(st.lists(st.integers(min_value=-(10**15), max_value=10**15), min_size=1))
def test_integers_become_decimals_in_units_of_the_last_digit(integers: list[int]) -> None:
    for decimal_type, digits in ((DOLLARS, 6), (CONTRACTS, 2)):
        decimals = exact_decimals(pa.array(integers, pa.int64()), decimal_type).to_pylist()
        assert decimals == [Decimal(value).scaleb(-digits) for value in integers]


def test_the_manifest_accepts_every_dataset() -> None:
    assert set(DATASETS) <= set(LAKE_DATASETS)


def test_the_views_show_plain_dollars_contracts_and_times(engine: sa.Engine) -> None:
    fill(engine)
    with engine.connect() as connection:
        quote = connection.exec_driver_sql("SELECT yes_bid, yes_bid_size, close_time FROM current_quotes").one()
        level = connection.exec_driver_sql("SELECT side, price, contracts FROM orderbook_levels").one()
    assert [str(value) for value in (*quote[:2], *level)] == ["0.570000", "343.49", "yes", "0.570000", "343.49"]
    # SQLite has no type for times, so the view shows a time as text on SQLite.
    assert quote[2] in ("1970-01-01T00:00:00.000001Z", instant(1))

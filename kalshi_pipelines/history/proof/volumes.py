"""The first witness: the volume of a settled market equals the sum of its trades in the files of the lake.

Only markets whose whole life was read are compared. The sums of other days are kept together with the content hash of
their files, so that a file with other rows is read again.
"""

import datetime as dt
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import PUBLIC_TRADES, SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_hash
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.warehouse.tables import markets, quotes

_NAMES: Final = ["ticker", "settled_time", "open_time", "close_time", "volume"]
_CENTI: Final = pa.scalar(100, pa.decimal128(3, 0))
_SUMS: Final = pa.schema([("ticker", pa.string()), ("all", pa.int64()), ("blocks", pa.int64())])
_ROWS_AT_ONCE: Final = 5_000


@dataclass(frozen=True)
class SettledMarket:
    """A settled market: the days on which it can have trades, and its volume in hundredths of a contract."""

    ticker: str
    first_day: dt.date
    close_day: dt.date
    last_day: dt.date
    volume: int


@dataclass(frozen=True)
class VolumeCheck:
    """A settled market with the sums of its trades, with and without block trades, in hundredths of a contract."""

    market: SettledMarket
    found: int
    blocks: int

    @property
    def is_equal(self) -> bool:
        """Whether all trades together have the volume of the exchange."""
        return self.found == self.market.volume

    @property
    def is_equal_without_blocks(self) -> bool:
        """Whether the trades that are no block trades have the volume of the exchange."""
        return self.found - self.blocks == self.market.volume


def settled_markets_of(lake: Lake, engine: sa.Engine, day: dt.date) -> dict[str, SettledMarket]:
    """Return the settled markets that were open at some time of a UTC day, from the lake and the warehouse."""
    start_us, end_us = PUBLIC_TRADES.bounds_of(day)
    found: dict[str, SettledMarket] = {}
    for ticker, *times, volume in (*_from_warehouse(engine, start_us), *_from_lake(lake, engine, start_us)):
        settled_us, open_us, close_us = times
        if open_us is None or volume is None or open_us >= end_us:
            continue
        days = [PUBLIC_TRADES.day_of(each) for each in (open_us, close_us or settled_us, settled_us)]
        if max(days[1:]) >= day:
            found[ticker] = SettledMarket(ticker, days[0], days[1], max(days), volume)
    return found


def _from_warehouse(engine: sa.Engine, start_us: int) -> Iterator[tuple[Any, ...]]:
    columns = markets.c
    query = (
        sa.select(
            columns.ticker,
            columns.settlement_time_us,
            columns.open_time_us,
            columns.close_time_us,
            quotes.c.volume_centicontracts,
        )
        .join_from(markets, quotes, columns.ticker == quotes.c.ticker)
        .where(columns.status == "finalized", columns.settlement_time_us >= start_us)
    )
    with engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
        yield from (tuple(row) for row in connection.execute(query))


def _from_lake(lake: Lake, engine: sa.Engine, start_us: int) -> Iterator[tuple[Any, ...]]:
    for batch in read(lake, engine, SETTLED_MARKETS, start_us, columns=_NAMES):
        times = [batch.column(name).cast(pa.int64()).to_pylist() for name in _NAMES[1:4]]
        volumes = _centicontracts(batch.column("volume")).to_pylist()
        yield from zip(batch.column("ticker").to_pylist(), *times, volumes, strict=True)


def _centicontracts(counts: Any) -> Any:  # noqa: ANN401  # arrays of Arrow
    return pc.multiply(counts, _CENTI).cast(pa.int64())


def covered(market: SettledMarket, days: Collection[dt.date]) -> bool:
    """Return whether every day on which a market was open was read."""
    return all(day in days for day in _days(market.first_day, market.close_day))


def _days(first: dt.date, last: dt.date) -> list[dt.date]:
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def check_volumes(
    lake: Lake,
    engine: sa.Engine,
    wanted: Sequence[SettledMarket],
    read_days: Collection[dt.date],
    folder: Path | None,
    fresh: dt.date,
) -> list[VolumeCheck]:
    """Return the sums of all trades of some markets.

    Args:
        lake: The lake of the warehouse.
        engine: The warehouse.
        wanted: The markets.
        read_days: The UTC days that were read.
        folder: Folder for sums of days; None if nothing is kept.
        fresh: The day whose file is read in any case.
    """
    by_day: dict[dt.date, set[str]] = {}
    for market in wanted:
        for day in _days(market.first_day, market.last_day):
            if day in read_days:
                by_day.setdefault(day, set()).add(market.ticker)
    sums = {market.ticker: (0, 0) for market in wanted}
    for day, tickers in sorted(by_day.items()):
        for ticker, (contracts, blocks) in _sums(lake, engine, day, tickers, None if day == fresh else folder).items():
            known = sums[ticker]
            sums[ticker] = known[0] + contracts, known[1] + blocks
    return [VolumeCheck(market, *sums[market.ticker]) for market in wanted]


def _sums(
    lake: Lake, engine: sa.Engine, day: dt.date, tickers: set[str], folder: Path | None
) -> Mapping[str, tuple[int, int]]:
    content = lake_hash(engine, PUBLIC_TRADES.name, [day]) if folder is not None else None
    path = folder / f"{content}.arrow" if folder is not None and content is not None else None
    if path is not None and path.exists():
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    else:
        table = _summed(lake, engine, day)
        if path is not None:
            _keep(path, table)
    chosen = table.filter(pc.is_in(table["ticker"], pa.array(sorted(tickers), pa.string())))
    return {row["ticker"]: (row["all"], row["blocks"]) for row in chosen.to_pylist()}


def _summed(lake: Lake, engine: sa.Engine, day: dt.date) -> pa.Table:
    parts = [_SUMS.empty_table()]
    columns = ["ticker", "contracts", "is_block"]
    for batch in read(lake, engine, PUBLIC_TRADES, *PUBLIC_TRADES.bounds_of(day), columns=columns):
        counts = _centicontracts(batch.column("contracts"))
        blocks = pc.if_else(batch.column("is_block"), counts, pa.scalar(0, pa.int64()))
        parts.append(_grouped(pa.table([batch.column("ticker"), counts, blocks], schema=_SUMS)))
    return _grouped(pa.concat_tables(parts))


def _grouped(table: pa.Table) -> pa.Table:
    found = table.group_by("ticker").aggregate([("all", "sum"), ("blocks", "sum")])
    return found.select(["ticker", "all_sum", "blocks_sum"]).rename_columns(_SUMS.names)


def _keep(path: Path, table: pa.Table) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}")
    with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    unfinished.replace(path)

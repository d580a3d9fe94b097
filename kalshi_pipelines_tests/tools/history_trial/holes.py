"""Holes that are planted in a complete lake, to see whether the check of completeness finds each of them.

Some holes are made as a faulty read would make them: the manifest describes the files that lack the trades. The others
are made in a file, behind the back of the manifest.
"""

import datetime as dt
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M, DOLLARS, PUBLIC_TRADES, SETTLED_MARKETS
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import history_partitions
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
from kalshi_pipelines_tests.tools.history_trial.filled import batch_of, fill_lake
from kalshi_pipelines_tests.tools.history_trial.tape import Tape, TapeOptions
from kalshi_pipelines_tests.tools.history_trial.witnesses import candles, frame_of, settled_markets
from kalshi_pipelines_tests.tools.history_trial.worker import database_of

_MINUTE_US: Final = 60_000_000
_PAGE: Final = 1_000
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class CompleteLake:
    """A lake with all trades of a tape, and with what the witnesses say about them."""

    folder: Path
    tape: Tape
    engine: sa.Engine
    lake: Lake

    def file_of(self, number: int) -> Path:
        """Return the file of a day of trades."""
        (file,) = lake_files_of(self.engine, PUBLIC_TRADES.name, [self.tape.date(number)])
        return self.folder / "lake" / file.path

    def put_back(self, number: int) -> None:
        """Make a day complete again."""
        for file in lake_files_of(self.engine, PUBLIC_TRADES.name, [self.tape.date(number)]):
            self.lake.store.remove(file.path)
        with writing(self.engine) as connection:
            connection.exec_driver_sql(
                f"DELETE FROM lake_files WHERE dataset = 'public_trades'"
                f" AND partition_date = '{self.tape.date(number)}'"
            )
        self.publish(number, batch_of(self.tape.day(number)))

    def publish(self, number: int, rows: pa.RecordBatch) -> None:
        """Make the trades of a day exactly the given ones, as a read does."""
        day = self.tape.date(number)
        self.lake.replace_day(self.engine, PUBLIC_TRADES, day, [[rows]], "read")
        record_read(self.engine, PUBLIC_TRADES.name, day, rows.num_rows, *PUBLIC_TRADES.bounds_of(day))


def record_read(engine: sa.Engine, dataset: str, day: dt.date, rows: int, start_us: int, end_us: int) -> None:
    """Record that a day was read to its end and is closed."""
    key = {"dataset": dataset, "partition_date": day.isoformat()}
    values = {
        "status": "closed",
        "rows": rows,
        "holes": 0,
        "read_from_us": start_us // 1_000_000 * 1_000_000,
        "read_until_us": end_us // 1_000_000 * 1_000_000,
        "read_us": now_us(),
        "proof": "not_checked",
        "checked_us": None,
        "figures": "{}",
    }
    with writing(engine) as connection:
        connection.execute(sa.delete(history_partitions).filter_by(**key))
        connection.execute(sa.insert(history_partitions).values(key | values))


def complete_lake(folder: Path, options: TapeOptions) -> CompleteLake:
    """Make a lake with all trades of a tape, the candlesticks of the exchange, and its settled markets."""
    folder.mkdir(parents=True, exist_ok=True)
    tape, engine = Tape(options), database_of(folder)
    upgrade_to_head(engine)
    lake = fill_lake(engine, folder / "lake", tape)
    made = CompleteLake(folder, tape, engine, Lake(LocalStore(folder / "lake"), "sandbox"))
    for number in range(options.days):
        day = tape.date(number)
        rows = tape.starts[number + 1] - tape.starts[number]
        record_read(engine, PUBLIC_TRADES.name, day, rows, *PUBLIC_TRADES.bounds_of(day))
    trades = frame_of(tape)
    for day, batch in candles(trades).items():
        lake.replace_day(engine, CANDLESTICKS_1M, day, [[batch]], "exchange")
        record_read(engine, CANDLESTICKS_1M.name, day, batch.num_rows, *CANDLESTICKS_1M.bounds_of(day))
    markets = {day: [batch] for day, batch in settled_markets(tape, trades).items()}
    lake.publish(engine, SETTLED_MARKETS, markets, "exchange", now=True)
    return made


Plant = Callable[[CompleteLake, int, random.Random], None]


def _drop_page(made: CompleteLake, number: int, chance: random.Random) -> None:
    """Leave out one page of the feed."""
    times = made.tape.day(number).times
    first = chance.randrange(len(times))
    last = min(first + _PAGE, len(times)) - 1
    ids = set(made.tape.day(number).ids[first : last + 1])
    _publish_without(made, number, lambda id_text, _time: id_text in ids)


def _drop_minute(made: CompleteLake, number: int, chance: random.Random) -> None:
    """Leave out all trades of a minute in which something was traded."""
    minute = int(chance.choice(made.tape.day(number).times)) // _MINUTE_US
    _publish_without(made, number, lambda _id, time: time // _MINUTE_US == minute)


def _publish_without(made: CompleteLake, number: int, is_lost: Callable[[str, int], bool]) -> None:
    day = made.tape.day(number)
    rows = batch_of(day)
    lost = {
        bytes.fromhex(id_text.replace("-", ""))
        for id_text, time in zip(day.ids, day.times.tolist(), strict=True)
        if is_lost(id_text, time)
    }
    found = pc.is_in(rows["trade_id"], pa.array(sorted(lost), rows["trade_id"].type))
    made.publish(number, rows.filter(pc.invert(found)))


def _remove_one_trade(made: CompleteLake, number: int, chance: random.Random) -> None:
    """Remove a trade from the file of a day, without a word to the manifest."""
    file = made.file_of(number)
    table = pq.read_table(file, partitioning=None)
    row = chance.randrange(table.num_rows)
    pq.write_table(pa.concat_tables([table.slice(0, row), table.slice(row + 1)]), file, compression="zstd")


def _change_one_price(made: CompleteLake, number: int, chance: random.Random) -> None:
    """Change the price of one trade in the file of a day, without a word to the manifest."""
    file = made.file_of(number)
    table = pq.read_table(file, partitioning=None)
    row, position = chance.randrange(table.num_rows), table.schema.get_field_index("yes_price")
    prices = table["yes_price"].to_pylist()
    prices[row] += (
        type(prices[row])("0.01") if prices[row] < 1 - type(prices[row])("0.02") else type(prices[row])("-0.01")
    )
    changed = table.set_column(position, table.schema.field(position), pa.array(prices, DOLLARS))
    pq.write_table(changed, file, compression="zstd")


def _serve_nothing(made: CompleteLake, number: int, _chance: random.Random) -> None:
    """Read a day that the exchange does not serve: the answer is empty, without an error."""
    made.publish(number, batch_of(made.tape.day(number)).slice(0, 0))


#: The kinds of holes.
PLANTS: Final[dict[str, Plant]] = {
    "a dropped page": _drop_page,
    "a dropped minute": _drop_minute,
    "one trade removed from a file": _remove_one_trade,
    "one price changed": _change_one_price,
    "a day not served": _serve_nothing,
}


def planted_holes(made: CompleteLake, number: int, seed: int) -> Iterator[tuple[str, int]]:
    """Plant one hole after another, each of them alone. Yield its kind and the number of its day."""
    chance = random.Random(seed)
    days = [each for each in range(made.tape.options.days) if made.tape.starts[each] < made.tape.starts[each + 1]]
    for each in range(number):
        kind = list(PLANTS)[each % len(PLANTS)]
        day = chance.choice(days)
        PLANTS[kind](made, day, chance)
        yield kind, day
        made.put_back(day)


#: Returns whether a check of completeness finds a hole in a day.
Check = Callable[[CompleteLake, dt.date], bool]


def missed_holes(made: CompleteLake, check: Check, number: int, seed: int) -> list[str]:
    """Plant holes one after another, and return a line for each that the check does not find."""
    return [
        f"hole {each}: {kind} on {made.tape.date(day)}"
        for each, (kind, day) in enumerate(planted_holes(made, number, seed))
        if not check(made, made.tape.date(day))
    ]


def false_holes(made: CompleteLake, check: Check) -> list[dt.date]:
    """Return the days in which the check finds a hole although every trade is there."""
    days = [made.tape.date(number) for number in range(made.tape.options.days)]
    return [day for day in days if check(made, day)]

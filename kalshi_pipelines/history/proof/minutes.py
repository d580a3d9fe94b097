"""The second witness: candlesticks of one minute, computed from the trades, equal those of the exchange.

Trades in the same microsecond have no published order. Any of their prices is accepted as the open or the close.
Nothing here reads or writes.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from kalshi_pipelines.history.proof.recompute import recompute_candles
from kalshi_pipelines.history.proof.residuals import Residual, State
from kalshi_pipelines.lake.datasets import CANDLESTICKS_1M
from kalshi_pipelines.units import instant, microseconds

#: Columns of trades and of candlesticks that the comparison needs.
TRADE_COLUMNS: Final = ("ticker", "created_time", "trade_id", "yes_price", "contracts", "is_block")
CANDLE_COLUMNS: Final = ("ticker", "end_time", "open_price", "high_price", "low_price", "close_price", "volume")
#: Each market lists so many of its minutes. The others are counted.
MOST_MINUTES: Final = 20
#: A day lists so many minutes in all. Further markets list only how many of their minutes differ.
MOST_LISTED: Final = 10_000
_KEYS: Final = ["ticker", "end_time"]
_VALUES: Final = CANDLE_COLUMNS[2:]


@dataclass(frozen=True)
class Minute:
    """A minute of a market that differs.

    Attributes:
        ticker: The market.
        end_us: End of the minute.
        expected: The exchange's candlestick as text; None if it has none with trades.
        found: The candlestick of the lake's trades as text; None if the lake has no trade.
        needs_no_blocks: Whether the difference vanishes if block trades do not count.
    """

    ticker: str
    end_us: int
    expected: str | None
    found: str | None
    needs_no_blocks: bool = False


@dataclass
class MinuteComparison:
    """The result of the comparison of some markets.

    Attributes:
        minutes: Number of minutes with trades that agree or differ.
        ties: Number of minutes that agree because of trades in the same microsecond.
        without_blocks: Number of minutes that would agree if block trades did not count.
        differing: The first minutes that differ, by market.
        numbers: Number of minutes that differ, by market.
        listed: Number of minutes in ``differing``.
    """

    minutes: int = 0
    ties: int = 0
    without_blocks: int = 0
    differing: dict[str, list[Minute]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    listed: int = 0

    def add(self, minute: Minute) -> None:
        """Add a minute that differs."""
        known = self.differing.setdefault(minute.ticker, [])
        self.numbers[minute.ticker] = self.numbers.get(minute.ticker, 0) + 1
        self.without_blocks += minute.needs_no_blocks
        if not known or (len(known) < MOST_MINUTES and self.listed < MOST_LISTED):
            known.append(minute)
            self.listed += 1

    def forget(self, tickers: Iterable[str]) -> None:
        """Forget what differs for some markets, because a better witness was asked."""
        for ticker in tickers:
            self.listed -= len(self.differing.pop(ticker, ()))
            self.numbers.pop(ticker, None)

    def compare(self, trades: pa.Table, candles: pa.Table) -> None:
        """Compare the trades of some markets with all of their candlesticks of the same time."""
        both, firsts_and_lasts = _joined(trades, candles)
        self.minutes += both.num_rows
        plain = both.filter(pc.invert(_agrees(both)))
        if not plain.num_rows:
            return
        other, _ = _joined(trades.filter(pc.invert(trades["is_block"])), candles)
        still_differs = _keys_of(other.filter(pc.invert(_agrees(other))))
        for row in plain.to_pylist():
            position = row["position"]
            prices = None if position is None else firsts_and_lasts.slice(position, 1).to_pylist()[0]
            if prices is not None and _agrees_in_some_order(row, prices):
                self.ties += 1
                continue
            self.add(
                Minute(
                    row["ticker"],
                    microseconds(row["end_time"]),
                    _text(row, "their_", None),
                    _text(row, "", prices),
                    needs_no_blocks=(row["ticker"], row["end_time"]) not in still_differs,
                )
            )

    def residuals(self, equal_volumes: Collection[str], midnight_us: int) -> Iterator[Residual]:
        """Yield a residual for each minute.

        Args:
            equal_volumes: Markets whose volume of their whole life equals that of the exchange.
            midnight_us: The end of the day.
        """
        for ticker, minutes in self.differing.items():
            for minute in minutes:
                yield _residual(minute, midnight_us, has_equal_volume=ticker in equal_volumes)
            more = self.numbers[ticker] - len(minutes)
            if more:
                yield Residual(
                    ticker, "candlesticks, further minutes", State.MISSING, "0", str(more), "More minutes differ."
                )


def with_trades(candles: pa.Table) -> pa.Table:
    """Return the candlesticks of minutes in which something was traded."""
    return candles.filter(pc.greater(candles["volume"], Decimal(0)))


def _joined(trades: pa.Table, candles: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return both candlesticks of each minute with trades, and every price that can be the open or the close."""
    found = recompute_candles(trades, CANDLESTICKS_1M)
    ours = found.select(list(CANDLE_COLUMNS)).append_column("position", pa.array(range(found.num_rows), pa.int64()))
    theirs = with_trades(candles).select(list(CANDLE_COLUMNS))
    theirs = theirs.rename_columns([*_KEYS, *[f"their_{name}" for name in _VALUES]])
    both = ours.join(theirs, keys=_KEYS, join_type="full outer")
    return both, found.select(["first_prices", "last_prices"])


def _agrees(both: pa.Table) -> Any:  # noqa: ANN401  # an array of Arrow
    agrees: Any = None
    for name in _VALUES:
        equal = pc.fill_null(pc.equal(both[name], both[f"their_{name}"]), False)  # Arrow's signature
        agrees = equal if agrees is None else pc.and_(agrees, equal)
    return agrees


def _agrees_in_some_order(row: Mapping[str, Any], prices: Mapping[str, list[Decimal]]) -> bool:
    if any(row[name] != row[f"their_{name}"] for name in ("volume", "high_price", "low_price")):
        return False
    return row["their_open_price"] in prices["first_prices"] and row["their_close_price"] in prices["last_prices"]


def _keys_of(table: pa.Table) -> set[tuple[Any, ...]]:
    return set(zip(*(table[name].to_pylist() for name in _KEYS), strict=True))


def _text(row: Mapping[str, Any], prefix: str, prices: Mapping[str, list[Decimal]] | None) -> str | None:
    if row[f"{prefix}volume"] is None:
        return None
    values = {name.removesuffix("_price"): [row[f"{prefix}{name}"]] for name in _VALUES}
    if prices is not None:
        values |= {"open": prices["first_prices"], "close": prices["last_prices"]}
    return ", ".join(f"{name} {' or '.join(map(_number, each))}" for name, each in values.items())


def _number(value: Decimal | None) -> str:
    if value is None:
        return "none"
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _residual(minute: Minute, midnight_us: int, *, has_equal_volume: bool) -> Residual:
    state, explanation = State.MISSING, "The trades of the minute differ from the exchange's candlestick."
    if minute.found is None:
        explanation = "The exchange has a candlestick with trades, but the lake has no trade of the minute."
    elif minute.expected is None and has_equal_volume:
        state = State.EXPLAINED
        explanation = "The exchange has no candlestick of the minute, but the market's volume equals its trades."
    elif minute.expected is None:
        explanation = "The lake has trades of the minute, but the exchange has no candlestick."
    if minute.needs_no_blocks:
        explanation += " The difference vanishes if block trades do not count."
    if minute.end_us == midnight_us and state is State.MISSING:
        explanation += " A trade at exactly midnight belongs to this minute and to the file of the next day."
    kind = f"candlestick of the minute that ends at {instant(minute.end_us):%Y-%m-%dT%H:%MZ}"
    return Residual(minute.ticker, kind, state, minute.expected, minute.found, explanation)

"""Kinds of history that are read day by day: how the backfill and the upkeep read a day of each kind.

A further kind needs an entry in ``KINDS`` and nothing else here.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from kalshi_pipelines.history import trades
from kalshi_pipelines.history.candles.kind import estimate_candles, read_candles, take_new_candles
from kalshi_pipelines.history.errors import InvalidRange
from kalshi_pipelines.history.inputs import DayRead, HistoryInputs
from kalshi_pipelines.history.settled.kind import estimate_settled, read_settled, read_settled_day
from kalshi_pipelines.history.trade_estimates import DayEstimate, estimate_trades
from kalshi_pipelines.lake.datasets import (
    CANDLESTICKS_1D,
    CANDLESTICKS_1H,
    CANDLESTICKS_1M,
    PUBLIC_TRADES,
    SETTLED_MARKETS,
    Dataset,
)
from kalshi_pipelines.units import SECOND_US, instant

#: The first day of the exchange.
FIRST_DAY: Final = dt.date(2021, 6, 30)


@dataclass(frozen=True)
class HistoryKind:
    """A kind of history.

    Attributes:
        name: Name for people and for run configs.
        datasets: Datasets of the lake that a read of a day fills. The first one names the day's record.
        path: Path of the endpoint that most requests ask.
        read_day: Reads a day, and makes its rows in the lake exactly those of the exchange.
        take_new: Adds new rows to an open day.
        estimate: Returns the expected size of each day.
        follows: Names of kinds whose days must be read before, in the same backfill.
        read_span: Reads a range of days at once, both included; None if each day is read by itself.
        is_kept_up: Whether the nightly upkeep reads open and new days.
    """

    name: str
    datasets: tuple[Dataset, ...]
    path: str
    read_day: Callable[[HistoryInputs, dt.date], DayRead | Sequence[DayRead]]
    take_new: Callable[[HistoryInputs, dt.date], DayRead | Sequence[DayRead]]
    estimate: Callable[[HistoryInputs, Sequence[dt.date]], dict[dt.date, DayEstimate]]
    follows: tuple[str, ...] = ()
    read_span: Callable[[HistoryInputs, dt.date, dt.date], Sequence[DayRead]] | None = None
    is_kept_up: bool = True

    @property
    def zone(self) -> ZoneInfo:
        """Time zone of the days."""
        return self.datasets[0].zone

    def today(self, now_us: int) -> dt.date:
        """Return the present day. It has begun at least one second ago."""
        return instant(now_us - SECOND_US).astimezone(self.zone).date()


PUBLIC_TRADES_KIND: Final = HistoryKind(
    "public_trades",
    (PUBLIC_TRADES,),
    "/markets/trades",
    trades.read_trades,
    trades.take_new_trades,
    estimate_trades,
)
#: Candlesticks of all lengths. The markets that are asked are those of the day's public trades.
CANDLESTICKS_KIND: Final = HistoryKind(
    "candlesticks",
    (CANDLESTICKS_1M, CANDLESTICKS_1H, CANDLESTICKS_1D),
    "/markets/candlesticks",
    read_candles,
    take_new_candles,
    estimate_candles,
    follows=(PUBLIC_TRADES_KIND.name,),
)
#: Settled markets of the past. The ingest reads new ones, and upkeep archives them.
SETTLED_MARKETS_KIND: Final = HistoryKind(
    "settled_markets",
    (SETTLED_MARKETS,),
    "/historical/markets",
    read_settled_day,
    read_settled_day,
    estimate_settled,
    follows=(PUBLIC_TRADES_KIND.name,),
    read_span=read_settled,
    is_kept_up=False,
)
_KINDS: Final = (PUBLIC_TRADES_KIND, CANDLESTICKS_KIND, SETTLED_MARKETS_KIND)
#: Every kind of history by its name.
KINDS: Final[dict[str, HistoryKind]] = {each.name: each for each in _KINDS}


def kinds_named(names: Iterable[str]) -> list[HistoryKind]:
    """Return kinds by their names, each once; every kind if there is no name.

    Raises:
        InvalidRange: A name is unknown.
    """
    wanted = list(dict.fromkeys(names)) or list(KINDS)
    if unknown := [name for name in wanted if name not in KINDS]:
        raise InvalidRange(f"There is no history of {', '.join(unknown)}.", f"Choose from {', '.join(sorted(KINDS))}.")
    return [KINDS[name] for name in wanted]

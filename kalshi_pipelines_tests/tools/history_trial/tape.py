"""A tape: all trades of an imagined exchange over some months, always the same for the same seed.

Nothing here uses code of the product, so that the tape can judge it.
"""

import datetime as dt
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

DAY_US: Final = 86_400_000_000
_EPOCH: Final = dt.date(1970, 1, 1)
_DAYS_IN_MEMORY: Final = 6
_TIES: Final = 0.06
#: A market lives for so many days.
LIFE_DAYS: Final = 3
_COMBOS: Final = 0.15
_TEAMS: Final = ("TOR", "PHI", "NYY", "BOS", "LAD", "CHC", "SEA", "ATL", "HOU", "SFG")
_SERIES: Final = ("KXMLBGAME", "KXHIGHNY", "KXBTCD", "KXNFLTOTAL", "KXATPMATCH", "KXINXU", "KXPRESNOM", "KXRT")

_TEXTS: Final = ("trade_id", "ticker", "created_time", "yes_price", "contracts", "taker_side", "taker_book_side")
#: Columns of trades as the exchange writes them.
TRUTH: Final = pa.schema(
    [(name, pa.string()) for name in _TEXTS] + [(name, pa.bool_()) for name in ("is_block", "is_combo")]
)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TapeOptions:
    """The first UTC day of a tape, its number of days and of trades, and the seed of everything in it."""

    first_day: dt.date = dt.date(2026, 8, 1)
    days: int = 90
    trades: int = 5_000_000
    seed: int = 17

    @property
    def quiet_days(self) -> frozenset[int]:
        """Numbers of the days on which nothing was traded."""
        return frozenset({self.days // 3}) if self.days >= 30 else frozenset()


@dataclass(frozen=True)
class TapeDay:
    """The trades of one UTC day, sorted by time and id. Prices are micro-dollars, counts are centi-contracts."""

    times: Integers
    raw_ids: bytes
    tickers: list[str]
    prices: list[int]
    counts: list[int]
    are_yes: list[bool]
    are_block: list[bool]

    @cached_property
    def ids(self) -> list[str]:
        """The ids of the trades, as the exchange writes them."""
        return [str(uuid.UUID(bytes=self.raw_ids[at : at + 16])) for at in range(0, len(self.raw_ids), 16)]

    @cached_property
    def records(self) -> list[bytes]:
        """The trades as JSON, as the exchange sends them."""
        stamps = np.datetime_as_string(self.times.astype("datetime64[us]")).tolist()
        rows = zip(self.ids, self.tickers, self.prices, self.counts, self.are_yes, self.are_block, stamps, strict=True)
        return [
            (
                f'{{"trade_id":"{trade}","ticker":"{ticker}","count_fp":"{count_text(count)}",'
                f'"yes_price_dollars":"{price_text(price)}","no_price_dollars":"{price_text(1_000_000 - price)}",'
                f'"taker_outcome_side":"{"yes" if yes else "no"}","taker_book_side":"{"bid" if yes else "ask"}",'
                f'"taker_side":"{"yes" if yes else "no"}","created_time":"{time_text(stamp)}",'
                f'"is_block_trade":{"true" if block else "false"}}}'
            ).encode()
            for trade, ticker, price, count, yes, block, stamp in rows
        ]

    def truth(self) -> pa.Table:
        """Return what the lake must hold: the same values as texts, sorted by id."""
        stamps = np.datetime_as_string(self.times.astype("datetime64[us]")).tolist()
        return pa.table(
            {
                "trade_id": self.ids,
                "ticker": self.tickers,
                "created_time": stamps,
                "yes_price": [price_text(price) for price in self.prices],
                "contracts": [count_text(count) for count in self.counts],
                "taker_side": ["yes" if yes else "no" for yes in self.are_yes],
                "taker_book_side": ["bid" if yes else "ask" for yes in self.are_yes],
                "is_block": self.are_block,
                "is_combo": [ticker.startswith("KXMVE") for ticker in self.tickers],
            },
            TRUTH,
        ).sort_by("trade_id")


def price_text(microdollars: int) -> str:
    """Return a price as the exchange writes it: four decimals, or six if there are parts of a hundredth of a cent."""
    text = f"{microdollars // 1_000_000}.{microdollars % 1_000_000:06}"
    return text.removesuffix("00")


def count_text(centicontracts: int) -> str:
    """Return a count as the exchange writes it, with two decimals."""
    return f"{centicontracts // 100}.{centicontracts % 100:02}"


def time_text(stamp: str) -> str:
    """Return a time as the exchange writes it, without zeros at its end."""
    return (stamp.rstrip("0").rstrip(".") if "." in stamp else stamp) + "Z"


class Tape:
    """The trades of all days. A day is made when it is asked for, and a few days are kept."""

    def __init__(self, options: TapeOptions) -> None:
        self.options = options
        self.first_us = (options.first_day - _EPOCH).days * DAY_US
        self._days: OrderedDict[int, TapeDay] = OrderedDict()
        share = np.random.default_rng(options.seed).uniform(0.7, 1.3, options.days)
        share[list(options.quiet_days)] = 0
        ends = np.rint(np.cumsum(share) / share.sum() * options.trades).astype(np.int64)
        #: The number of trades before each day, and of all trades.
        self.starts: list[int] = [0, *ends.tolist()]

    def date(self, number: int) -> dt.date:
        """Return the date of a day."""
        return self.options.first_day + dt.timedelta(days=number)

    def day(self, number: int) -> TapeDay:
        """Return the trades of a day."""
        if number not in self._days:
            self._days[number] = self._made(number)
            while len(self._days) > _DAYS_IN_MEMORY:
                self._days.popitem(last=False)
        self._days.move_to_end(number)
        return self._days[number]

    def position(self, time_us: int) -> int:
        """Return how many trades are before a time."""
        number = min(max((time_us - self.first_us) // DAY_US, -1), self.options.days)
        if number < 0:
            return 0
        if number == self.options.days:
            return self.starts[-1]
        return self.starts[number] + int(np.searchsorted(self.day(number).times, time_us))

    def records(self, start: int, end: int) -> list[bytes]:
        """Return trades by their positions, the oldest first."""
        found: list[bytes] = []
        for number in range(self.options.days):
            first, after = self.starts[number], self.starts[number + 1]
            if max(first, start) < min(after, end):
                found += self.day(number).records[max(start - first, 0) : end - first]
        return found

    def _made(self, number: int) -> TapeDay:
        rows = self.starts[number + 1] - self.starts[number]
        random = np.random.default_rng([self.options.seed, number])
        offsets = np.sort(random.integers(0, DAY_US, rows))
        # Some orders meet several resting orders, and all of their trades have the same time.
        for _ in range(2):
            ties = random.random(rows) < _TIES
            ties[:1] = False
            offsets[ties] = offsets[np.flatnonzero(ties) - 1]
        offsets = np.sort(offsets)
        ids = np.frombuffer(random.bytes(16 * rows), np.uint8).reshape(rows, 16)
        order = np.lexsort((*ids.T[::-1], offsets))
        offsets, ids = offsets[order], ids[order]
        markets = self._markets(number)
        chosen = np.minimum((random.exponential(0.12, rows) * len(markets)).astype(np.int64), len(markets) - 1)
        levels = np.random.default_rng([self.options.seed, number, 1]).integers(2, 97, len(markets))
        cents = np.clip(levels[chosen] + np.rint(random.normal(0, 2, rows)).astype(np.int64), 1, 99)
        fine = random.random(rows)
        prices = cents * 10_000 + np.where(fine < 0.03, 5_000, np.where(fine > 0.995, 37, 0))
        whole = np.maximum(1, random.exponential(30, rows).astype(np.int64))
        parts = np.where(random.random(rows) < 0.1, random.integers(1, 100, rows), 0)
        return TapeDay(
            times=self.first_us + number * DAY_US + offsets,
            raw_ids=ids.tobytes(),
            tickers=[markets[each] for each in chosen.tolist()],
            prices=prices.tolist(),
            counts=(whole * 100 + parts).tolist(),
            are_yes=(random.random(rows) < 0.6).tolist(),
            are_block=(random.random(rows) < 0.002).tolist(),
        )

    def _markets(self, number: int) -> list[str]:
        """Return the markets that can trade on a day. A market lives for some days."""
        return [ticker for born in range(number - LIFE_DAYS + 1, number + 1) for ticker in self.markets_born(born)]

    def markets_born(self, number: int) -> list[str]:
        """Return the markets that opened on a day."""
        date = f"{self.date(number):%y%b%d}".upper()
        markets = max(20, min(600, self.options.trades // self.options.days // 60))
        found = []
        for each in range(markets):
            if each < markets * _COMBOS:
                found.append(f"KXMVESPORTS-S{date}{each * 7_919:09X}-{each * 104_729 % 65_536:04X}")
            else:
                found.append(f"{_SERIES[each % len(_SERIES)]}-{date}-{_TEAMS[each % len(_TEAMS)]}{each // 10}")
        return found

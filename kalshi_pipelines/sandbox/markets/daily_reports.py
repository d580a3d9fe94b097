"""Daily report files: all trades of a trading day, and the figures of each market on that day.

A trading day lasts from midnight to midnight in New York. Belongs here: the content of the two files. Does not belong
here: serving them (``serving_reports``). Sources: public programs that read the exchange's files between 2021 and 2026.
The type of a fractional price and the text of ``create_ts`` are assumptions.
"""

import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.markets.generated import GeneratedMarket
from kalshi_pipelines.sandbox.markets.listing import Catalogue, TradeFilter
from kalshi_pipelines.sandbox.markets.public_trades import PublicTrades
from kalshi_pipelines.sandbox.prices import count_text
from kalshi_pipelines.units import EXCHANGE_TIME_ZONE, centicontracts, microdollars

_MICRODOLLARS_PER_HUNDREDTH_OF_A_CENT = 100


@dataclass(frozen=True)
class TradingDay:
    """A trading day, from ``begin_us`` to ``end_us`` (excluded) in microseconds since 1970."""

    date: dt.date
    begin_us: int
    end_us: int

    @classmethod
    def of(cls, date: dt.date) -> "TradingDay":
        """Return the trading day of a date."""
        begin, end = (
            units.microseconds(dt.datetime.combine(day, dt.time(), EXCHANGE_TIME_ZONE))
            for day in (date, date + dt.timedelta(days=1))
        )
        return cls(date, begin, end)


def trade_report(trades: PublicTrades, day: TradingDay) -> bytes:
    """Return the file of all trades of a day, oldest first, block trades included."""
    return _listed(
        b'{"ticker_name":%b,"report_ticker":%b,"date":"%b","create_ts":%b,"contracts_traded":%b,"price":%b}'
        % (
            orjson.dumps(row["ticker"]),
            orjson.dumps(_series_of(row["ticker"])),
            day.date.isoformat().encode(),
            orjson.dumps(row["created_time"]),
            _number(centicontracts(row["count_fp"])),
            _number(_hundredths_of_a_cent(row)),
        )
        for row in _trades_of(trades, day)
    )


def market_report(catalogue: Catalogue, trades: PublicTrades, day: TradingDay) -> bytes:
    """Return the file of the figures of each market that was open at some time of a day."""
    traded: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in _trades_of(trades, day):
        traded[row["ticker"]].append(row)
    rows = {**catalogue.markets, **catalogue.archived_markets}.values()
    markets = [row for row in rows if isinstance(row, GeneratedMarket) and row.open_us < day.end_us]
    return _listed(
        _market_row(market, traded[market.ticker], day) for market in markets if market.close_us > day.begin_us
    )


def _market_row(market: GeneratedMarket, trades: list[dict[str, Any]], day: TradingDay) -> bytes:
    prices = [_hundredths_of_a_cent(row) for row in trades]
    status = "active" if market.close_us > day.end_us else "closed"
    if market.settled_us is not None and market.settled_us <= day.end_us:
        status = "finalized"
    interest = market.open_interest(market.epoch_of(min(day.end_us - 1, market.close_us)))
    volume, blocks = (
        sum(centicontracts(row["count_fp"]) for row in trades if is_all or row["is_block_trade"])
        for is_all in (True, False)
    )
    return (
        b'{"date":"%b","ticker_name":%b,"report_ticker":%b,"open_interest":%b,"daily_volume":%b,"block_volume":%b,'
        b'"high":%b,"low":%b,"status":"%b","payout_type":"%b"}'
        % (
            day.date.isoformat().encode(),
            orjson.dumps(market.ticker),
            orjson.dumps(market.series_ticker),
            _number(interest),
            _number(volume),
            _number(blocks),
            _number(max(prices)) if prices else b"null",
            _number(min(prices)) if prices else b"null",
            status.encode(),
            b"scalar" if market.result == "scalar" else b"binary",
        )
    )


def _trades_of(trades: PublicTrades, day: TradingDay) -> Iterator[dict[str, Any]]:
    wanted = TradeFilter(None, day.begin_us, day.end_us - 1, None)
    for row in reversed(trades.page(wanted, "", sys.maxsize).rows):
        yield orjson.loads(row.json)


def _series_of(ticker: str) -> str:
    return ticker.partition("-")[0]


def _hundredths_of_a_cent(row: dict[str, Any]) -> int:
    return microdollars(row["yes_price_dollars"]) // _MICRODOLLARS_PER_HUNDREDTH_OF_A_CENT


def _number(hundredths: int) -> bytes:
    """Return a number of hundredths as a JSON number without needless decimals, such as 57 or 57.5."""
    return count_text(hundredths).rstrip("0").rstrip(".").encode()


def _listed(rows: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(rows) + b"]"

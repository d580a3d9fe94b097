"""Pages of public trades as columns of the dataset ``public_trades``.

A page is converted as a whole. If one of its trades cannot be stored, each trade of the page is converted by itself, so
that only the bad trades go to the quarantine. No value is rounded: prices and counts keep every digit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.kalshi.decoding import Decoded, decode_records, decode_together
from kalshi_pipelines.kalshi.history_records import Trade
from kalshi_pipelines.lake.datasets import CONTRACTS, DOLLARS, INSTANT, PUBLIC_TRADES, UUID_BYTES, exact_decimals
from kalshi_pipelines.units import InexactValue, centicontracts, microdollars

#: Tickers of combos begin with this prefix. A combo is a market on several events at once.
COMBO_PREFIX: Final = "KXMVE"
_ONE_DOLLAR: Final = 1_000_000
_UUID_CHARACTERS: Final = 36
_HYPHENS: Final = (8, 13, 18, 23)
_MOST_CENTICONTRACTS: Final = 10**16
_MOST_REMEMBERED: Final = 1 << 16
_MOST_RAW_BYTES: Final = 4_096
_DIRECTIONS: Final = frozenset({("yes", "bid", "yes"), ("no", "ask", "no"), ("yes", "bid", None), ("no", "ask", None)})


class RefusedTrade(ValueError):
    """A trade that cannot be stored. The message says why."""


@dataclass(frozen=True)
class TradeRows:
    """The trades of a page.

    Attributes:
        batch: The rows that can be stored, in the order of the page.
        refused: The trades that cannot be stored.
        suspects: The decoded trades of a page with unknown fields, for the contract checks.
    """

    batch: pa.RecordBatch
    refused: list[UnstorableRecord] = field(default_factory=list)
    suspects: list[Decoded[Trade]] = field(default_factory=list)


class _Prices(dict[tuple[str, str], int]):
    """Checked prices of YES by the texts of both prices. A day has few different prices."""

    def __missing__(self, texts: tuple[str, str]) -> int:
        yes, no = texts
        try:
            price, other = microdollars(yes), microdollars(no)
        except InexactValue as error:
            raise RefusedTrade(str(error)) from None
        if price + other != _ONE_DOLLAR:
            raise RefusedTrade(f"the prices {yes} of YES and {no} of NO are not one dollar together")
        if not 0 <= price <= _ONE_DOLLAR:
            raise RefusedTrade(f"the price {yes} is not between zero and one dollar")
        if len(self) < _MOST_REMEMBERED:
            self[texts] = price
        return price


class _Counts(dict[str, int]):
    """Checked counts by their texts. Most counts of a day repeat."""

    def __missing__(self, text: str) -> int:
        try:
            count = centicontracts(text)
        except InexactValue as error:
            raise RefusedTrade(str(error)) from None
        if count <= 0:
            raise RefusedTrade(f"a trade of {text} contracts is no trade")
        if count >= _MOST_CENTICONTRACTS:
            raise RefusedTrade(f"a trade of {text} contracts is too large to be stored")
        if len(self) < _MOST_REMEMBERED:
            self[text] = count
        return count


_prices = _Prices()
_counts = _Counts()


def trade_rows(raws: Sequence[Raw]) -> TradeRows:
    """Convert the raw trades of a page."""
    trades = decode_together(Trade, raws)
    if trades is not None:
        return _converted(trades, raws)
    decoded = decode_records(Trade, raws)
    rows = _converted([each.record for each in decoded.records], [each.raw for each in decoded.records])
    refused = [_unstorable(each.raw, each.reason, each.key) for each in decoded.rejected]
    return TradeRows(rows.batch, refused + rows.refused, decoded.records)


def _converted(trades: Sequence[Trade], raws: Sequence[Raw]) -> TradeRows:
    try:
        return TradeRows(_batch(trades))
    except RefusedTrade:
        pass
    good: list[Trade] = []
    refused: list[UnstorableRecord] = []
    for trade, raw in zip(trades, raws, strict=True):
        try:
            _batch([trade])
        except RefusedTrade as error:
            refused.append(_unstorable(bytes(raw), str(error), trade.trade_id))
        else:
            good.append(trade)
    return TradeRows(_batch(good), refused)


def _unstorable(raw: bytes, reason: str, key: str | None) -> UnstorableRecord:
    return UnstorableRecord(raw[:_MOST_RAW_BYTES], reason, key)


def _batch(trades: Sequence[Trade]) -> pa.RecordBatch:
    """Return the trades as rows of ``public_trades``.

    Raises:
        RefusedTrade: One of the trades cannot be stored.
    """
    if not trades:
        return pa.RecordBatch.from_pylist([], PUBLIC_TRADES.schema)
    tickers = [each.ticker for each in trades]
    if not all(tickers):
        raise RefusedTrade("the ticker is empty")
    outcomes = [each.taker_outcome_side for each in trades]
    books = [each.taker_book_side for each in trades]
    _require_directions(outcomes, books, [each.taker_side for each in trades])
    ticker = pa.array(tickers, pa.string())
    prices = [_prices[each.yes_price_dollars, each.no_price_dollars] for each in trades]
    counts = [_counts[each.count_fp] for each in trades]
    columns = [
        ticker,
        _instants([each.created_time for each in trades]),
        _uuids([each.trade_id for each in trades]),
        exact_decimals(pa.array(prices, pa.int64()), DOLLARS),
        exact_decimals(pa.array(counts, pa.int64()), CONTRACTS),
        pa.array(outcomes, pa.string()),
        pa.array(books, pa.string()),
        pa.array([each.is_block_trade for each in trades], pa.bool_()),
        pc.starts_with(ticker, COMBO_PREFIX),
    ]
    return pa.record_batch(columns, schema=PUBLIC_TRADES.schema)


def _require_directions(outcomes: Sequence[str], books: Sequence[str], sides: Sequence[str | None]) -> None:
    for direction in set(zip(outcomes, books, sides, strict=True)) - _DIRECTIONS:
        outcome, book, older = direction
        older = "" if older is None else f" and taker_side {older!r}"
        raise RefusedTrade(f"the directions {outcome!r} and {book!r}{older} are unknown or disagree")


def _instants(texts: Sequence[str]) -> pa.Array:
    try:
        return pa.array(texts, pa.string()).cast(INSTANT)
    except pa.ArrowInvalid:
        raise RefusedTrade(f"{texts[0]!r} is not a time with at most six decimals") from None


def _uuids(texts: Sequence[str]) -> pa.Array:
    joined = "".join(texts)
    lengths, number = set(map(len, texts)), len(texts)
    if lengths == {_UUID_CHARACTERS} and all(joined[at::_UUID_CHARACTERS] == "-" * number for at in _HYPHENS):
        digits = joined.replace("-", "")
        # The length is checked first, because fromhex would skip spaces between the digits.
        if len(digits) == 32 * number and digits.isalnum():
            try:
                content = bytes.fromhex(digits)
            except ValueError:
                pass
            else:
                return pa.Array.from_buffers(UUID_BYTES, number, [None, pa.py_buffer(content)])
    raise RefusedTrade(f"{texts[0]!r} is not a UUID")

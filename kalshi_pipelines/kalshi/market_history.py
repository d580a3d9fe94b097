"""Reads of what happened in markets: public trades, live and historical.

A read asks one side only. Which side must be asked depends on the historical cutoff: see ``history``.
"""

from collections.abc import Iterator
from typing import Final

from kalshi_pipelines.kalshi.errors import InvalidRequest, QueryParams
from kalshi_pipelines.kalshi.history_records import Trade
from kalshi_pipelines.kalshi.pagination import ListEndpoint, Page, pages
from kalshi_pipelines.kalshi.transport import Transport

# The limits of rows per page are from the OpenAPI document 3.34.0.
TRADES: Final = ListEndpoint("/markets/trades", "trades", Trade, most_rows=1000)
HISTORICAL_TRADES: Final = ListEndpoint("/historical/trades", "trades", Trade, most_rows=1000)


class MarketHistory:
    """A reader of what happened in markets. ``KalshiClient.history`` makes it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def trade_pages(
        self,
        *,
        ticker: str | None = None,
        min_ts: int | None = None,
        max_ts: int | None = None,
        is_block_trade: bool | None = None,
        limit: int = 1000,
    ) -> Iterator[Page]:
        """Return pages of the live side's public trades of one market or of all markets, the newest trade first.

        About archived markets the live side answers with no trades, without an error.

        Args:
            ticker: Only trades of this market.
            min_ts: Only trades at or after this Unix second.
            max_ts: Only trades at or before this Unix second. Ask for one second more, because the document does not
                say whether trades within this second are served.
            is_block_trade: Only block trades, or only other trades. ``None`` reads both.
            limit: Rows per page, at most 1000.
        """
        return pages(self._transport, TRADES, _trade_params(ticker, min_ts, max_ts, is_block_trade), limit)

    def historical_trade_pages(
        self,
        *,
        ticker: str | None = None,
        min_ts: int | None = None,
        max_ts: int | None = None,
        is_block_trade: bool | None = None,
        limit: int = 1000,
    ) -> Iterator[Page]:
        """Return pages of public trades from before the historical cutoff. The arguments are those of trade_pages."""
        return pages(self._transport, HISTORICAL_TRADES, _trade_params(ticker, min_ts, max_ts, is_block_trade), limit)


def _trade_params(
    ticker: str | None, min_ts: int | None, max_ts: int | None, is_block_trade: bool | None
) -> QueryParams:
    if min_ts is not None and max_ts is not None and max_ts < min_ts:
        raise InvalidRequest(
            f"Trades cannot be read from second {min_ts} to the earlier second {max_ts}.", "Swap the two bounds."
        )
    block = None if is_block_trade is None else str(is_block_trade).lower()
    given = {"ticker": ticker, "min_ts": min_ts, "max_ts": max_ts, "is_block_trade": block}
    return [(name, str(value)) for name, value in given.items() if value is not None]

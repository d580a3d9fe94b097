"""Records of what happened in markets, as they are on the wire: public trades.

The rules of ``records`` apply, with one exception: times of trades stay text. A day of the exchange has millions of
trades, so ``kalshi_pipelines.history`` converts the times of a whole page at once.
"""

from msgspec import Struct


class Trade(Struct, frozen=True, gc=False):
    """One public trade, from ``GET /markets/trades`` or ``/historical/trades``.

    Attributes:
        trade_id: The exchange's id of the trade, a UUID as text.
        ticker: The market.
        count_fp: The number of contracts, with two decimals.
        yes_price_dollars: The price of YES.
        no_price_dollars: One dollar minus the price of YES.
        taker_outcome_side: ``yes`` if the taker bought YES, and ``no`` if the taker bought NO.
        taker_book_side: ``bid`` if the taker bought YES, and ``ask`` if the taker bought NO.
        created_time: The time of the trade, in RFC 3339.
        is_block_trade: Whether the trade was agreed off the order book.
        taker_side: The older name of ``taker_outcome_side``, which the exchange may omit.
    """

    trade_id: str
    ticker: str
    count_fp: str
    yes_price_dollars: str
    no_price_dollars: str
    taker_outcome_side: str
    taker_book_side: str
    created_time: str
    is_block_trade: bool
    taker_side: str | None = None

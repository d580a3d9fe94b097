"""Meanings of the tables of the account. They are filled when an old database is adopted."""

from typing import Final

from kalshi_pipelines.warehouse.dictionary.language import OURS, ColumnText, TableText, texts
from kalshi_pipelines.warehouse.dictionary.shared import RECORDED, RUN

_ACCOUNT: Final = texts(
    subaccount=("Number of the sub-account; 0 is the account itself.", "subaccount"),
    exchange_index=("Shard of the exchange; NULL for the sum of all shards.", "exchange_index"),
) | {"recorded_us": RECORDED, "ingest_run_id": RUN}
_TICKER: Final = ColumnText("Market.", "ticker")
BALANCES: Final = TableText(
    "The balance of a sub-account at one time.",
    texts(
        balance_id=("Number of the row.", OURS),
        balance_microdollars=("Cash.", "balance"),
        portfolio_value_microdollars=("Value of the positions; NULL if not sent.", "portfolio_value"),
        updated_us=("Time that the exchange gives; NULL if not sent.", "updated_ts"),
        observed_us=("Time of the read.", OURS),
    )
    | _ACCOUNT,
    endpoint="GET /portfolio/balance",
)
POSITIONS: Final = TableText(
    "A position of one side of a market, open or closed.",
    texts(
        position_id=("Number of the row.", OURS),
        side=("`yes` or `no`.", "position"),
        quantity_centicontracts=("Contracts held; 0 if closed.", "position"),
        average_cost_microdollars=("Mean cost of one contract of this side; NULL if unknown.", OURS),
        current_value_microdollars=("Value of one contract at the last read; NULL if unknown.", OURS),
        unrealized_pnl_microdollars=("Profit or loss that is not realized; NULL if unknown.", OURS),
        realized_pnl_microdollars=("Profit or loss that is realized, without fees.", "realized_pnl"),
        fees_paid_microdollars=("Fees paid; NULL if unknown.", "fees_paid"),
        total_traded_microdollars=("Sum of all purchases and sales; NULL if unknown.", "total_traded"),
        market_exposure_microdollars=("Cost of the open position; NULL if unknown.", "market_exposure"),
        thesis_id=("A person's note on the reason; NULL if none.", OURS),
        opened_us=("Time of the first fill; NULL if unknown.", OURS),
        closed_us=("Time at which the position was closed; NULL while it is open.", OURS),
        last_updated_us=("Time of the last change at the exchange; NULL if not sent.", "last_updated_ts"),
    )
    | {"ticker": _TICKER}
    | _ACCOUNT,
    endpoint="GET /portfolio/positions",
)
TRADES: Final = TableText(
    "A fill of an order of the account. Trades of all members are in the dataset `public_trades`.",
    texts(
        fill_id=("Id of the fill.", "trade_id"),
        order_id=("Order; NULL if unknown.", "order_id"),
        side=("Outcome that was bought or sold, as the older interface says: `yes` or `no`.", "side"),
        action=("`buy` or `sell`.", "action"),
        outcome_side=("Direction: buying YES and selling NO are `yes`.", "outcome_side"),
        book_side=("Side of the YES book: `bid` for the direction yes, else `ask`.", "book_side"),
        quantity_centicontracts=("Contracts.", "count_fp"),
        yes_price_microdollars=("YES price of one contract.", "yes_price_dollars"),
        no_price_microdollars=("NO price of one contract: 1 dollar minus the YES price.", "no_price_dollars"),
        fee_microdollars=("Fee, with its rounding.", "fee_cost"),
        is_taker=("True if the order crossed the spread; NULL if unknown.", "is_taker"),
        position_id=("Position that the fill belongs to; NULL if unknown.", OURS),
        executed_us=("Time of the fill.", "created_time"),
    )
    | {"ticker": _TICKER}
    | _ACCOUNT,
    endpoint="GET /portfolio/fills",
)
SETTLEMENTS: Final = TableText(
    "A payment to the account when a market settled.",
    texts(
        portfolio_settlement_id=("Number of the row.", OURS),
        event_ticker=("Event of the market.", "event_ticker"),
        market_result=("Outcome: yes, no, scalar or void.", "market_result"),
        yes_count_centicontracts=("YES contracts bought over the market's life.", "yes_count_fp"),
        yes_total_cost_microdollars=("Cost of these YES contracts.", "yes_total_cost_dollars"),
        no_count_centicontracts=("NO contracts bought over the market's life.", "no_count_fp"),
        no_total_cost_microdollars=("Cost of these NO contracts.", "no_total_cost_dollars"),
        revenue_microdollars=("Payment received.", "revenue"),
        fee_microdollars=("Sum of the fees of the market's fills. It is not a further fee.", "fee_cost"),
        value_microdollars=("Payment for one YES contract; NULL if not sent.", "value"),
        settled_us=("Time of the payment.", "settled_time"),
    )
    | {"ticker": _TICKER}
    | _ACCOUNT,
    endpoint="GET /portfolio/settlements",
)

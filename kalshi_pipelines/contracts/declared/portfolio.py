"""Contracts with endpoints of a member's own data: balance, positions, orders, fills, settlements, payments."""

import datetime as dt
from typing import Final

from kalshi_pipelines.contracts.declared import portfolio_rules as rules
from kalshi_pipelines.contracts.declared.errors import READ_ERRORS
from kalshi_pipelines.contracts.declared.fields import (
    NULLABLE,
    OPTIONAL,
    SECONDS,
    USUAL,
    count,
    dollars,
    flag,
    listed,
    money,
    price,
    record,
    records,
    shard,
    text,
    time,
    uuid,
    whole,
    word,
)
from kalshi_pipelines.contracts.language.declarations import Access, Contract, Field, Invariant, Paging, by_place

_AUGUST: Final = dt.date(2026, 8, 20)
POSITION: Final = (
    text("ticker", "positions"),
    shard("exchange_index", "positions", since=_AUGUST),
    money("total_traded_dollars", "positions", least=0),
    count("position_fp", "positions", least=None),
    money("market_exposure_dollars", "positions", least=0),
    money("realized_pnl_dollars", "positions"),
    money("fees_paid_dollars", "positions", least=0),
    time("last_updated_ts", "positions"),
    whole("resting_orders_count", is_required=False, is_usual=True, until=dt.date(2026, 7, 9)),
)
EVENT_POSITION: Final = (
    text("event_ticker"),
    money("total_cost_dollars", least=0),
    count("total_cost_shares_fp", "positions"),
    money("event_exposure_dollars", least=0),
    money("realized_pnl_dollars"),
    money("fees_paid_dollars", least=0),
)
_DIRECTION: Final = (
    word("side", "yes|no", **USUAL),
    word("action", "buy|sell", **USUAL),
    word("outcome_side", "yes|no", "trades", "executed_orders"),
    word("book_side", "bid|ask", "trades", "executed_orders"),
)
_PRICES: Final = (
    price("yes_price_dollars", "trades", "executed_orders"),
    price("no_price_dollars", "trades", "executed_orders"),
)
ORDER: Final = (
    uuid("order_id", "executed_orders"),
    text("user_id"),
    text("client_order_id", "executed_orders"),
    text("ticker", "executed_orders"),
    *_DIRECTION,
    word("type", "limit|market"),
    word("status", "resting|canceled|executed", "executed_orders"),
    *_PRICES,
    count("fill_count_fp", "executed_orders"),
    count("remaining_count_fp", "executed_orders"),
    count("initial_count_fp", "executed_orders"),
    money("taker_fill_cost_dollars", "executed_orders", least=0),
    money("maker_fill_cost_dollars", "executed_orders", least=0),
    money("taker_fees_dollars", "executed_orders"),
    money("maker_fees_dollars", "executed_orders"),
    time("expiration_time", **NULLABLE),
    time("created_time", is_required=False, is_nullable=True, is_usual=True),
    time("last_update_time", is_required=False, is_nullable=True, is_usual=True),
    word("self_trade_prevention_type", "taker_at_cross|maker|", is_required=False, is_nullable=True),
    text("order_group_id", **NULLABLE),
    flag("cancel_order_on_pause", **OPTIONAL),
    whole("subaccount_number", is_required=False, is_nullable=True, is_usual=True),
    shard(**OPTIONAL),
)
FILL: Final = (
    uuid("fill_id", "trades"),
    shard("exchange_index", "trades", since=_AUGUST),
    uuid("trade_id", "trades"),
    uuid("order_id", "trades", "executed_orders"),
    text("ticker", "trades"),
    text("market_ticker", "trades"),
    *_DIRECTION,
    count("count_fp", "trades", "executed_orders"),
    *_PRICES,
    flag("is_taker", "trades"),
    time("created_time", "trades", **USUAL),
    money("fee_cost", "trades"),
    whole("subaccount_number", is_required=False, is_nullable=True, is_usual=True),
    whole("ts", within=SECONDS, is_required=False, is_usual=True),
)
SETTLEMENT: Final = (
    text("ticker", "portfolio_settlements"),
    shard("exchange_index", "portfolio_settlements", since=_AUGUST),
    text("event_ticker", "portfolio_settlements"),
    word("market_result", "yes|no|scalar", "portfolio_settlements"),
    count("yes_count_fp", "portfolio_settlements"),
    money("yes_total_cost_dollars", "portfolio_settlements", least=0),
    count("no_count_fp", "portfolio_settlements"),
    money("no_total_cost_dollars", "portfolio_settlements", least=0),
    whole("revenue", "portfolio_settlements", least=0),
    time("settled_time", "portfolio_settlements"),
    money("fee_cost", "portfolio_settlements"),
    whole("value", least=0, most=100, is_required=False, is_nullable=True, is_usual=True),
)
_PAYMENT: Final = (
    text("id"),
    word("status", "pending|applied|failed|returned"),
    word("type", "ach|wire|crypto|debit|apm", is_closed=False),
    whole("amount_cents"),
    whole("fee_cents"),
    whole("created_ts", within=SECONDS),
    whole("finalized_ts", **NULLABLE),
)
_QUEUE_POSITION: Final = (uuid("order_id"), text("market_ticker"), count("queue_position_fp"))
_GROUP: Final = (
    text("id"),
    count("contracts_limit_fp", is_required=False, is_usual=True),
    flag("is_auto_cancel_enabled"),
    shard(**OPTIONAL),
)


def _list(
    endpoint: str,
    rows: str,
    fields: tuple[Field, ...],
    key: tuple[str, ...],
    *invariants: Invariant,
    most: int = 1_000,
    newest: str = "",
    used_by: tuple[str, ...] = (),
    is_cursor_required: bool = False,
    also: tuple[Field, ...] = (),
) -> Contract:
    cursor = text("cursor", is_required=is_cursor_required, is_usual=True)
    return Contract(
        endpoint,
        by_place(records(rows, fields), (cursor,), also),
        access=Access.KEY,
        paging=Paging(rows, is_cursor_required=is_cursor_required, most=most, usual=100, key=key, newest_first=newest),
        invariants=invariants,
        errors=READ_ERRORS,
        used_by=used_by,
    )


_EVENT_POSITIONS: Final = records("event_positions", EVENT_POSITION)

PORTFOLIO: Final = (
    Contract(
        "GET /portfolio/balance",
        by_place(
            (
                whole("balance", "balances"),
                dollars("balance_dollars", "balances", decimals=(4,)),
                whole("portfolio_value", "balances", least=0),
                whole("updated_ts", "balances", within=SECONDS),
            ),
            records(
                "balance_breakdown", (shard("exchange_index", "balances"), dollars("balance", "balances")),
                is_required=False, is_usual=True,
            ),
        ),
        access=Access.KEY,
        invariants=(rules.balance_rules,),
        traits=(rules.balance_traits,),
        errors=READ_ERRORS,
        used_by=("balances", "executed_orders"),
    ),
    _list("GET /portfolio/positions", "market_positions", POSITION, ("ticker",), rules.position_rules,
          also=_EVENT_POSITIONS, used_by=("positions",)),
    _list("GET /historical/positions", "market_positions", POSITION, ("ticker",), rules.position_rules,
          also=_EVENT_POSITIONS, used_by=("positions",)),
    _list("GET /portfolio/orders", "orders", ORDER, ("order_id",), rules.order_rules("orders[]"),
          is_cursor_required=True, used_by=("executed_orders",)),
    _list("GET /historical/orders", "orders", ORDER, ("order_id",), rules.order_rules("orders[]"),
          is_cursor_required=True, used_by=("executed_orders",)),
    Contract(
        "GET /portfolio/orders/{order_id}",
        by_place(record("order", ORDER)),
        access=Access.KEY,
        invariants=(rules.order_rules("order"), rules.order_named),
        errors=READ_ERRORS,
        codes={404: frozenset({"not_found"})},
        used_by=("executed_orders",),
    ),
    _list("GET /portfolio/fills", "fills", FILL, ("fill_id",), rules.fill_rules, newest="created_time",
          is_cursor_required=True, used_by=("trades",)),
    _list("GET /historical/fills", "fills", FILL, ("fill_id",), rules.fill_rules, newest="created_time",
          is_cursor_required=True, used_by=("trades",)),
    _list("GET /portfolio/settlements", "settlements", SETTLEMENT, ("ticker", "subaccount_number"),
          rules.settlement_rules, newest="settled_time", used_by=("portfolio_settlements",)),
    _list("GET /portfolio/deposits", "deposits", _PAYMENT, ("id",), most=500),
    _list("GET /portfolio/withdrawals", "withdrawals", _PAYMENT, ("id",), most=500),
    Contract(
        "GET /portfolio/orders/queue_positions",
        by_place(records("queue_positions", _QUEUE_POSITION, is_nullable=True)),
        access=Access.KEY,
        errors=READ_ERRORS,
    ),
    Contract(
        "GET /portfolio/summary/total_resting_order_value",
        by_place(
            (whole("total_resting_order_value", least=0),),
            records("resting_order_value_breakdown", (shard(), dollars("balance"))),
        ),
        access=Access.KEY,
        errors=READ_ERRORS,
        codes={403: frozenset({"forbidden", "permission_denied"})},
    ),
    Contract(
        "GET /portfolio/order_groups",
        by_place(records("order_groups", _GROUP, is_required=False)),
        access=Access.KEY,
        errors=READ_ERRORS,
        used_by=("executed_orders",),
    ),
    Contract(
        "GET /portfolio/order_groups/{order_group_id}",
        by_place(
            (flag("is_auto_cancel_enabled"), count("contracts_limit_fp", is_required=False, is_usual=True)),
            listed("orders", text("")),
            (shard(**OPTIONAL),),
        ),
        access=Access.KEY,
        errors=READ_ERRORS,
        codes={404: frozenset({"not_found"})},
        used_by=("executed_orders",),
    ),
    Contract(
        "GET /portfolio/subaccounts/balances",
        by_place(
            records(
                "subaccount_balances",
                (whole("subaccount_number"), shard("exchange_index", **OPTIONAL), dollars("balance"),
                 whole("updated_ts", within=SECONDS)),
            )
        ),
        access=Access.KEY,
        errors=READ_ERRORS,
    ),
)  # fmt: skip

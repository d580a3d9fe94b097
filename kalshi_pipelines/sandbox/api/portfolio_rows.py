"""JSON objects of a member's orders, fills, positions, settlements, money and order groups.

Belongs here: trading records in the exchange's format, with keys in the recorded order. Does not belong here: selecting
records, which the endpoints do, and formatting numbers (``prices``). Sources: recordings of June 2026 (demo), and the
vendor's OpenAPI document 3.34.0 for all later changes of the format.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.prices import count_text, dollars_text, price_text
from kalshi_pipelines.sandbox.trading.commands import Execution
from kalshi_pipelines.sandbox.trading.events import MoneyMoved
from kalshi_pipelines.sandbox.trading.records import (
    OrderGroup,
    Position,
    SandboxFill,
    SandboxOrder,
    SandboxSettlement,
    Transfer,
)
from kalshi_pipelines.sandbox.trading.state import CENT
from kalshi_pipelines.units import DOLLAR_CENTICENTS, SECOND_US

Row = dict[str, Any]
_INSTANCE: Final = "event_contract"
_OUTCOMES: Final = {"bid": "yes", "ask": "no"}
_ACTIONS: Final = {"bid": "buy", "ask": "sell"}


def short_dollars_text(amount: int) -> str:
    """Return micro-dollars as a text in dollars with 4 decimals, or with more decimals if needed."""
    text = dollars_text(amount)
    return text[:-2] + text[-2:].rstrip("0")


def _average_text(amount: int, count: int) -> str:
    """Return the average price per contract as a text in dollars, rounded to the nearest micro-dollar."""
    return short_dollars_text((2 * amount * 100 + count) // (2 * count))


def cents(amount: int) -> int:
    """Convert micro-dollars to whole cents, with fractions of a cent cut off."""
    return amount // CENT if amount >= 0 else -(-amount // CENT)


@lru_cache
def user_id(member: str) -> str:
    """Return the UUID by which the exchange identifies a member in orders."""
    return str(uuid5(NAMESPACE_OID, member))


def order_row(order: SandboxOrder) -> Row:
    """Return the JSON object of an order."""
    accepted = order.accepted
    row: Row = {
        "action": _ACTIONS[order.side],
        "book_side": order.side,
        "client_order_id": order.client_order_id or "",
        "created_time": rfc3339(order.created_us),
        "exchange_index": order.shard,
        "fill_count_fp": count_text(order.filled),
        "initial_count_fp": count_text(order.initial_count),
        "last_update_time": rfc3339(order.updated_us),
        "maker_fees_dollars": dollars_text(order.maker_fees),
        "maker_fill_cost_dollars": dollars_text(order.maker_cost),
        "no_price_dollars": price_text(DOLLAR_CENTICENTS - order.price),
        "order_id": order.order_id,
        "outcome_side": _OUTCOMES[order.side],
        "remaining_count_fp": count_text(order.remaining),
        "self_trade_prevention_type": accepted.self_trade_prevention,
        "side": "yes",
        "status": order.status,
        "subaccount_number": order.subaccount,
        "taker_fees_dollars": dollars_text(order.taker_fees),
        "taker_fill_cost_dollars": dollars_text(order.taker_cost),
        "ticker": order.ticker,
        "type": "limit",
        "user_id": user_id(order.member),
        "yes_price_dollars": price_text(order.price),
    }
    if accepted.cancel_on_pause:
        row["cancel_order_on_pause"] = True
    if order.expires_us is not None:
        row["expiration_time"] = rfc3339(order.expires_us)
    if accepted.order_group is not None:
        row["order_group_id"] = accepted.order_group
    return row


def execution_row(execution: Execution, now_us: int, *, counts: bool = True) -> Row:
    """Return the JSON object of a placed or amended order.

    ``counts`` tells whether the object contains the filled count and the remaining count. It is False for an amendment
    that changed no count.
    """
    order, filled = execution.order, execution.filled
    row: Row = {}
    if filled:
        row["average_fee_paid"] = _average_text(execution.fees, filled)
        row["average_fill_price"] = _average_text(execution.cost, filled)
    if order.client_order_id is not None:
        row["client_order_id"] = order.client_order_id
    if counts:
        row["fill_count"] = count_text(filled)
    row["order_id"] = order.order_id
    if counts:
        row["remaining_count"] = count_text(execution.remaining)
    row["ts_ms"] = now_us // 1_000
    return row


def fill_row(fill: SandboxFill) -> Row:
    """Return the JSON object of a fill. As on the real exchange, the object has no client order id."""
    return {
        "action": _ACTIONS[fill.side],
        "book_side": fill.side,
        "count_fp": count_text(fill.count),
        "created_time": rfc3339(fill.created_us),
        "exchange_index": fill.shard,
        "fee_cost": dollars_text(fill.fee),
        "fill_id": fill.fill_id,
        "is_taker": fill.is_taker,
        "market_ticker": fill.ticker,
        "no_price_dollars": price_text(DOLLAR_CENTICENTS - fill.price),
        "order_id": fill.order_id,
        "outcome_side": _OUTCOMES[fill.side],
        "side": "yes",
        "subaccount_number": fill.subaccount,
        "ticker": fill.ticker,
        "trade_id": fill.fill_id,
        "ts": fill.created_us // SECOND_US,
        "yes_price_dollars": price_text(fill.price),
    }


def position_row(position: Position) -> Row:
    """Return the JSON object of a position in a market."""
    return {
        "exchange_index": position.shard,
        "fees_paid_dollars": dollars_text(position.fees),
        "last_updated_ts": rfc3339(position.updated_us),
        "market_exposure_dollars": dollars_text(position.cost),
        "position_fp": count_text(position.count),
        "realized_pnl_dollars": dollars_text(position.realized),
        "ticker": position.ticker,
        "total_traded_dollars": dollars_text(position.traded),
    }


def event_position_row(event_ticker: str, positions: Iterable[Position]) -> Row:
    """Return the JSON object that sums up a member's positions in the markets of one event."""
    together = list(positions)
    return {
        "event_exposure_dollars": dollars_text(sum(position.cost for position in together)),
        "event_ticker": event_ticker,
        "fees_paid_dollars": dollars_text(sum(position.fees for position in together)),
        "realized_pnl_dollars": dollars_text(sum(position.realized for position in together)),
        "total_cost_dollars": dollars_text(sum(position.traded for position in together)),
        "total_cost_shares_fp": count_text(sum(position.traded_count for position in together)),
    }


def settlement_row(settlement: SandboxSettlement) -> Row:
    """Return the JSON object of a settlement. Its revenue and value are in whole cents."""
    return {
        "event_ticker": settlement.event_ticker,
        "exchange_index": settlement.shard,
        "fee_cost": dollars_text(settlement.fee),
        "market_result": settlement.result,
        "no_count_fp": count_text(settlement.no_count),
        "no_total_cost_dollars": dollars_text(settlement.no_cost),
        "revenue": cents(settlement.revenue),
        "settled_time": rfc3339(settlement.settled_us),
        "ticker": settlement.ticker,
        "value": settlement.value // 100,
        "yes_count_fp": count_text(settlement.yes_count),
        "yes_total_cost_dollars": dollars_text(settlement.yes_cost),
    }


def payment_row(moved: MoneyMoved, number: int) -> Row:
    """Return the JSON object of a member's deposit or withdrawal. Its id is derived from the member and ``number``.

    The sandbox charges no fee for payments and applies them at once.
    """
    return {
        "amount_cents": cents(abs(moved.amount)),
        "created_ts": moved.at_us // SECOND_US,
        "fee_cents": 0,
        "finalized_ts": moved.at_us // SECOND_US,
        "id": str(uuid5(NAMESPACE_OID, f"{moved.member}/{number}")),
        "status": "applied",
        "type": "ach",
    }


def subaccount_transfer_row(transfer: Transfer) -> Row:
    """Return the JSON object of a transfer between sub-accounts on one shard."""
    return {
        "amount_cents": cents(transfer.amount),
        "created_ts": transfer.created_us // SECOND_US,
        "exchange_index": transfer.from_shard,
        "from_subaccount": transfer.from_subaccount,
        "to_subaccount": transfer.to_subaccount,
        "transfer_id": transfer.transfer_id,
    }


def shard_transfer_row(transfer: Transfer) -> Row:
    """Return the JSON object of a transfer between shards."""
    row: Row = {
        "amount": short_dollars_text(transfer.amount),
        "created_ts": transfer.created_us // SECOND_US,
        "destination": _INSTANCE,
        "destination_exchange_shard": transfer.to_shard,
        "source": _INSTANCE,
        "source_exchange_shard": transfer.from_shard,
        "status": "complete",
        "transfer_id": transfer.transfer_id,
    }
    if transfer.client_transfer_id is not None:
        row["client_transfer_id"] = transfer.client_transfer_id
    return row


def group_row(group: OrderGroup) -> Row:
    """Return the JSON keys and values that every response about an order group contains.

    ``is_auto_cancel_enabled`` is always True: a group that is triggered always cancels its orders.
    """
    return {
        "contracts_limit_fp": count_text(group.limit),
        "exchange_index": group.shard,
        "is_auto_cancel_enabled": True,
    }


def balance_row(shard: int, amount: int) -> Row:
    """Return the JSON object of a member's money on a shard."""
    return {"balance": short_dollars_text(amount), "exchange_index": shard}

"""Rows of the table ``intents``: storing an order as a row, and reading an intent from a row."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from kalshi_pipelines.execution.journal.reading.rows import Row
from kalshi_pipelines.execution.journal.records import Intent, Mode, NewIntent
from kalshi_pipelines.execution.journal.tables import intents
from kalshi_pipelines.execution.orders.account import Account
from kalshi_pipelines.execution.orders.columns import to_columns
from kalshi_pipelines.execution.orders.denials import BY_CODE
from kalshi_pipelines.execution.orders.proposals import ActorKind
from kalshi_pipelines.execution.orders.request import request_sha256
from kalshi_pipelines.execution.orders.states import OrderState
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.orders.worst_case import Exposure
from kalshi_pipelines.units import DOLLAR_CENTICENTS

#: The columns of ``intents`` except its key, which is the number of the audit record.
_STORED: Final = tuple(column.name for column in intents.columns if column.name != "intent_id")
#: Fields of ``Intent`` that are converted from a column, or whose column has another name.
_CONVERTED: Final = {
    "account",
    "mode",
    "side",
    "reduce_only",
    "actor",
    "state",
    "denial",
    "reported_filled_centicontracts",
    "filled_centicontracts",
    "fees_microdollars",
}
#: Fields of ``Intent`` that hold the unchanged value of the column with the same name.
_SAME: Final = tuple(field.name for field in fields(Intent) if field.name not in _CONVERTED)
#: The state of a newly planned intent, in the columns that a query of intents returns.
_NEW: Final[Mapping[str, object]] = {
    "state": OrderState.PLANNED.value,
    "state_seq": 1,
    "order_id": None,
    "denial": None,
    "told_filled": None,
    "filled": 0,
    "fees": 0,
}


def new_intent_row(new: NewIntent, session: Row, planned_us: int, closing: int) -> dict[str, object]:
    """Return the row of a new order for the table ``intents``, in the order of the table's columns.

    Each term of the order becomes the column with the term's name. The account and the mode come from the session.
    ``closing`` is the number of the order's centi-contracts that only close a position.
    """
    side, price, count = new.request.side, new.request.price.centicents, new.request.count.centi
    reserved = Exposure.of_resting(side, price, count, new.fee_bound_microdollars)
    text = new.request.json
    values = {
        **to_columns(new),
        "environment": session["environment"],
        "subaccount": session["subaccount"],
        "mode": session["mode"],
        "origin": session["origin"],
        "cancel_order_on_pause": 1,
        "reserved_if_no_microdollars": reserved.if_no,
        "reserved_if_yes_microdollars": reserved.if_yes,
        "notional_microdollars": (price if side is Side.BID else DOLLAR_CENTICENTS - price) * (count - closing),
        "proposed_centicontracts": (new.proposed or new.request.count).centi,
        "closing_centicontracts": closing,
        "planned_us": planned_us,
        "request_json": text,
        "request_sha256": request_sha256(text),
    }
    return {name: values[name] for name in _STORED}


def planned_intent(intent_id: int, row: Mapping[str, Any]) -> Intent:
    """Return the intent whose row was just stored."""
    return read_intent({**row, **_NEW, "intent_id": intent_id, "state_us": row["planned_us"]})


def read_intent(row: Mapping[str, Any] | Row) -> Intent:
    """Return an intent from a row with its stored columns, its newest state and the sums of its fills."""
    return Intent(
        account=Account(row["environment"], row["subaccount"]),
        mode=Mode(row["mode"]),
        side=Side(row["side"]),
        reduce_only=bool(row["reduce_only"]),
        actor=ActorKind(row["actor_kind"]),
        state=OrderState(row["state"]),
        denial=None if row["denial"] is None else BY_CODE[row["denial"]],
        reported_filled_centicontracts=row["told_filled"],
        filled_centicontracts=row["filled"],
        fees_microdollars=row["fees"],
        **{name: row[name] for name in _SAME},
    )

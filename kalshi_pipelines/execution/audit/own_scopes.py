"""Check that an order was reserved in its own scopes, so that no order is counted beside the caps of its session."""

from collections.abc import Iterator
from datetime import date
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.execution.journal.guards import ACCOUNT_KEY
from kalshi_pipelines.units import HOUR_US, instant

_OF_ACCOUNT: Final = ("environment", "subaccount", "mode")


def find_wrong_scope(row: sa.RowMapping, scope: sa.RowMapping) -> Iterator[str]:
    """Yield the problems of a reservation that was posted to a scope, or for a session, which is not the order's own.

    Args:
        row: The posting with the terms of its order. The order's session and ticker have the prefix ``of_order_``.
        scope: The scope of the posting.
    """
    for name in ("session_id", "ticker"):
        if row[name] != row[f"of_order_{name}"]:
            yield f"{row['dedupe']} names {name} {row[name]}, but its order has {row[f'of_order_{name}']}"
    if any(scope[name] != row[name] for name in _OF_ACCOUNT) or not _is_its_own(row, scope):
        yield f"{row['dedupe']} is counted in {scope['kind']} {scope['key']}, which is not the order's own"


def find_wrong_hours(scopes: list[sa.RowMapping]) -> Iterator[str]:
    """Yield the scopes of an hour whose key and hour differ."""
    for scope in scopes:
        if scope["kind"] == "rolling" and scope["key"] != str(scope["hour"]):
            yield f"scope rolling {scope['key']} is of hour {scope['hour']}"


def _is_its_own(row: sa.RowMapping, scope: sa.RowMapping) -> bool:
    """Return whether a scope is of the order's session, event, account, day or hour.

    The send guard makes a similar check before an order is sent. Orders of dry runs are counted by the day in their
    event and account.
    """
    kind, key, at_us = scope["kind"], scope["key"], row["at_us"]
    if kind == "rolling":
        return bool(scope["hour"] == at_us // HOUR_US)
    if kind == "day":
        return _is_near(key, at_us)
    if kind == "session":
        return bool(key == row["session_id"])
    if row["mode"] == "live":
        return bool(key == (ACCOUNT_KEY if kind == "account" else row["event_ticker"]))
    if kind == "account":
        return _is_near(key, at_us)
    event, _, day = key.rpartition(" ")
    return bool(event == row["event_ticker"]) and _is_near(day, at_us)


def _is_near(day: str, at_us: int) -> bool:
    """Return whether a date is at most one day from the UTC date of an instant."""
    try:
        return abs((date.fromisoformat(day) - instant(at_us).date()).days) <= 1
    except ValueError:
        return False

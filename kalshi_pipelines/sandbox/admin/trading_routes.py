"""Admin routes of the trading side: members, keys, money, shards, the exchange's conduct in undocumented cases, and the
truth log.

Belongs here: an operator's changes to members, shards and the exchange's conduct. Does not belong here: single markets
(``market_routes``).
"""

from collections.abc import Mapping
from typing import Final, cast
from uuid import uuid4

from kalshi_pipelines.sandbox.access.memberships import (
    DEFAULT_MEMBER,
    FULL_SCOPES,
    KeyRequest,
    check_scopes,
    check_subaccount,
    deposit_everywhere,
    enroll,
    open_subaccounts,
    register_key,
)
from kalshi_pipelines.sandbox.access.signatures import public_key_of
from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute, BadAdminRequest
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.prices import MICRO, dollars_text
from kalshi_pipelines.sandbox.trading.engine import TailPolicy
from kalshi_pipelines.sandbox.trading.log import line_of

_TAILS: Final = ("always", "never", "sometimes")
_MOST_DOLLARS: Final = 10**9
_MOST_LAG_SECONDS: Final = 3_600
_MOST_DIGITS: Final = 18


def _amount(request: AdminRequest, name: str) -> int | None:
    """Return an amount of dollars as micro-dollars, or None if the request does not contain the field."""
    if name not in request.body:
        return None
    amount = request.decimal(name) * MICRO
    if amount != int(amount) or abs(amount) > _MOST_DOLLARS * MICRO:
        raise BadAdminRequest(f"{name} must be an amount of at most {_MOST_DOLLARS} dollars with at most six decimals.")
    return int(amount)


def _enroll_member(exchange: Exchange, request: AdminRequest, deposit: int | None) -> tuple[str, bool]:
    """Enroll the member that a request names, unless it is a member already.

    A new member gets ``deposit`` micro-dollars on each shard, or the usual starting amount if ``deposit`` is None.
    Return the member, and whether the member is new.
    """
    member = request.text("member", DEFAULT_MEMBER)
    start = exchange.start_amount if deposit is None else deposit
    return member, enroll(exchange.venue.engine, member, start, at_us=request.now_us)


def add_member(exchange: Exchange, request: AdminRequest) -> object:
    """Enroll a ``member`` with ``deposit`` dollars on each shard, and open ``subaccounts`` sub-accounts."""
    deposit = _amount(request, "deposit")
    if deposit is not None and deposit < 0:
        raise BadAdminRequest("deposit must not be negative.")
    subaccounts = check_subaccount(request.whole("subaccounts", 0))
    member, _ = _enroll_member(exchange, request, deposit)
    open_subaccounts(exchange.venue.engine, member, subaccounts, at_us=request.now_us)
    return {"member": member, **_member_row(exchange, member)}


def list_members(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with all members and their money by sub-account and shard."""
    return {"members": {member: _member_row(exchange, member) for member in exchange.venue.state.members}}


def _member_row(exchange: Exchange, member: str) -> dict[str, object]:
    state = exchange.venue.state
    accounts = [
        {
            "subaccount": subaccount,
            "exchange_index": shard,
            "cash_dollars": dollars_text(state.cash.get((member, subaccount, shard), 0)),
            "reserved_dollars": dollars_text(state.reserved.get((member, subaccount, shard), 0)),
        }
        for subaccount in sorted(state.members[member].subaccounts)
        for shard in state.shards
    ]
    keys = [key.key_id for key in state.keys.values() if key.member == member]
    return {"keys": keys, "accounts": accounts}


def add_key(exchange: Exchange, request: AdminRequest) -> object:
    """Register the public part of an API key. A new member is enrolled first.

    ``scopes`` is a list and defaults to all scopes. ``subaccount`` locks the key to one sub-account. ``deposit`` is an
    amount of dollars that the member gets on each shard, even if the member is not new. If the request gives a
    ``subaccount``, the deposit goes to that sub-account.
    """
    pem = request.text("public_key_pem")
    key_id = request.text("key_id", str(uuid4()))
    scopes = request.body.get("scopes", FULL_SCOPES)
    if not isinstance(scopes, list | tuple):
        raise BadAdminRequest("scopes must be a list.")
    subaccount = None if request.body.get("subaccount") is None else check_subaccount(request.whole("subaccount"))
    deposit = _amount(request, "deposit")
    # Check everything before any change, so that a refused key leaves no new member behind.
    public_key_of(pem.encode())
    unique = check_scopes(map(str, scopes))
    if deposit is not None and deposit < 0:
        raise BadAdminRequest("deposit must not be negative.")
    engine = exchange.venue.engine
    member, is_new = _enroll_member(exchange, request, None if subaccount else deposit)
    register_key(
        engine,
        KeyRequest(key_id, pem, member, str(request.body.get("name", "")), unique, subaccount),
        at_us=request.now_us,
    )
    if deposit and not (is_new and not subaccount):
        deposit_everywhere(engine, member, subaccount or 0, deposit, at_us=request.now_us)
    return {"key_id": key_id, "member": member, "scopes": list(unique), "subaccount": subaccount}


def deposit_money(exchange: Exchange, request: AdminRequest) -> object:
    """Deposit ``dollars`` for a ``member``, or withdraw money if ``dollars`` is negative.

    ``subaccount`` and ``exchange_index`` default to 0.
    """
    amount = _amount(request, "dollars")
    if not amount:
        raise BadAdminRequest("dollars must be given as an amount other than 0.")
    member = request.text("member", DEFAULT_MEMBER)
    subaccount, shard = request.whole("subaccount", 0), request.whole("exchange_index", 0)
    exchange.venue.engine.accounts.deposit(member, subaccount, shard, amount, at_us=request.now_us)
    return {"member": member, **_member_row(exchange, member)}


def set_one_shard(exchange: Exchange, request: AdminRequest) -> object:
    """Set whether one shard is up (``exchange_active``) and whether orders trade on it (``trading_active``)."""
    known = exchange.venue.state.shards
    named = request.path["shard"]
    shard = next((number for number in known if str(number) == named), None)
    if shard is None:
        raise BadAdminRequest(f"The shard {named} does not exist.", f"Use one of {', '.join(map(str, known))}.")
    _set_shard(exchange, request, shard)
    return _shards(exchange)


def set_all_shards(exchange: Exchange, request: AdminRequest) -> object:
    """Set whether all shards are up (``exchange_active``) and whether orders trade on them (``trading_active``).

    The route pauses or resumes the whole exchange, or all trading.
    """
    for shard in exchange.venue.state.shards:
        _set_shard(exchange, request, shard)
    return _shards(exchange)


def _set_shard(exchange: Exchange, request: AdminRequest, shard: int) -> None:
    if not {"exchange_active", "trading_active"} & set(request.body):
        raise BadAdminRequest("exchange_active or trading_active must be given as true or false.")
    now = exchange.venue.state.shards[shard]
    exchange_active = request.truth("exchange_active", now.exchange_active)
    trading_active = request.truth("trading_active", now.trading_active)
    if (exchange_active, trading_active) != (now.exchange_active, now.trading_active):
        exchange.venue.engine.market_control.set_shard(
            shard, exchange_active=exchange_active, trading_active=trading_active, at_us=request.now_us
        )


def _shards(exchange: Exchange) -> object:
    return {
        "shards": [
            {"exchange_index": number, "exchange_active": shard.exchange_active, "trading_active": shard.trading_active}
            for number, shard in exchange.venue.state.shards.items()
        ]
    }


def set_conduct(exchange: Exchange, request: AdminRequest) -> object:
    """Set the conduct of the exchange in cases that the vendor leaves open.

    ``read_lag`` is the delay of portfolio reads in seconds. ``cancel_all_tail`` decides whether orders placed in the
    minute after a cancel-all are canceled too. ``crowd`` switches the simulated traders on or off.
    """
    venue = exchange.venue
    if unknown := set(request.body) - {"read_lag", "cancel_all_tail", "crowd"}:
        raise BadAdminRequest(
            f"Unknown settings: {', '.join(sorted(unknown))}.", "Use read_lag, cancel_all_tail or crowd."
        )
    lag = request.body.get("read_lag", venue.read_lag_us / 1_000_000)
    if not isinstance(lag, int | float) or not 0 <= lag <= _MOST_LAG_SECONDS:
        raise BadAdminRequest(f"read_lag must be a number of seconds from 0 to {_MOST_LAG_SECONDS}.")
    tail = request.body.get("cancel_all_tail", venue.engine.cancel_all_tail)
    if tail not in _TAILS:
        raise BadAdminRequest(f"cancel_all_tail must be one of {', '.join(_TAILS)}.")
    crowd = request.truth("crowd", venue.simulated_traders.is_active)
    venue.read_lag_us = round(lag * 1_000_000)
    venue.engine.cancel_all_tail = cast("TailPolicy", tail)
    venue.simulated_traders.is_active = crowd
    return {"read_lag": lag, "cancel_all_tail": tail, "crowd": crowd}


def read_log(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with the events of the truth log whose numbers are greater than ``after``.

    The answer contains at most ``limit`` events. A missing ``after`` or ``limit`` counts as 0, and a ``limit`` of 0
    means no limit.
    """
    after, limit = _number(request.query, "after"), _number(request.query, "limit")
    events = exchange.log.since(after)
    lines = [line_of(number, event).rstrip() for number, event in enumerate(events[: limit or None], after + 1)]
    return b'{"last":%d,"events":[%b]}' % (len(exchange.log.events), b",".join(lines))


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "0")
    if not text.isdecimal() or len(text) > _MOST_DIGITS:
        raise BadAdminRequest(f"{name} must be a whole number of at least 0.")
    return int(text)


TRADING_ROUTES: Final = (
    AdminRoute("GET", "/members", list_members),
    AdminRoute("POST", "/members", add_member, 201),
    AdminRoute("POST", "/keys", add_key, 201),
    AdminRoute("POST", "/deposits", deposit_money, 201),
    AdminRoute("POST", "/shards/{shard}", set_one_shard),
    AdminRoute("POST", "/exchange", set_all_shards),
    AdminRoute("POST", "/conduct", set_conduct),
    AdminRoute("GET", "/truth", read_log),
)

"""Responses about a member's API keys, sub-accounts, and transfers between sub-accounts and shards.

Belongs here: a member's requests about its own account, and the responses. Does not belong here: orders and positions,
and what an operator does to accounts (``memberships``).

Source: the vendor's OpenAPI document 3.34.0. The document lists the usage tiers that may open sub-accounts, and
the usage tiers that may register keys made by the member. It also says that a transfer between shards takes up to
three steps for a sub-account, but not for the primary account.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Final
from uuid import UUID

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_pipelines.sandbox.access.memberships import FULL_SCOPES, KeyRequest, UnusableScopes, register_key
from kalshi_pipelines.sandbox.access.signatures import UnusablePublicKey, public_pem
from kalshi_pipelines.sandbox.api.endpoints import Call, Endpoint
from kalshi_pipelines.sandbox.api.holding_endpoints import free_money
from kalshi_pipelines.sandbox.api.order_requests import Fields, Struct, decode_body, invalid_field, undecodable
from kalshi_pipelines.sandbox.api.portfolio_rows import (
    Row,
    shard_transfer_row,
    short_dollars_text,
    subaccount_transfer_row,
)
from kalshi_pipelines.sandbox.errors import forbidden, not_found
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.pagination import page_back
from kalshi_pipelines.sandbox.trading.accounts import LAST_SUBACCOUNT
from kalshi_pipelines.sandbox.trading.commands import RequestRefused
from kalshi_pipelines.sandbox.trading.events import KeyDeleted
from kalshi_pipelines.sandbox.trading.records import ApiKey, Transfer
from kalshi_pipelines.sandbox.trading.state import CENT
from kalshi_pipelines.units import SECOND_US

MOST_SUBACCOUNT_TRANSFERS: Final = 1_000
MOST_SHARD_TRANSFERS: Final = 500
LAST_SHARD: Final = 100
CENTI_CENT: Final = 100
"""One centi-cent (1e-4 dollar) in micro-dollars."""
_KEY_NUMBERS: Final = 5
_WITHOUT_SUBACCOUNTS: Final = ("basic",)
_WITHOUT_OWN_KEYS: Final = ("basic", "advanced", "expert")
_KEY_FIELDS: Final = {
    "name": "string", "public_key": "string", "scopes": "[]string", "subaccount": "int", "fcm_subtrader_id": "string",
    "key_type": "string",
}  # fmt: skip
_CREATE_KEY: Final = Struct("CreateApiKeyRequest", _KEY_FIELDS)
_GENERATE_KEY: Final = Struct("GenerateApiKeyRequest", _KEY_FIELDS)
_SUBACCOUNT_TRANSFER: Final = Struct(
    "ApplySubaccountTransferRequest",
    {
        "client_transfer_id": "string", "from_subaccount": "int", "to_subaccount": "int", "amount_cents": "int64",
        "exchange_index": "int",
    },
)  # fmt: skip
_SHARD_TRANSFER: Final = Struct(
    "IntraExchangeInstanceTransferRequest",
    {
        "client_transfer_id": "string", "source": "string", "destination": "string", "amount": "int64",
        "source_exchange_shard": "int", "destination_exchange_shard": "int", "source_subaccount": "int",
        "destination_subaccount": "int",
    },
)  # fmt: skip


def get_api_keys(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /api_keys with all keys of the member.

    The vendor's document gives this read to every key with the scope ``read``, and lists no status 403 for it. So a key
    that is locked to a sub-account may call it, too.

    No key of the sandbox belongs to a subtrader (``fcm_subtrader_id``). A request for a subtrader's keys therefore gets
    an empty list.
    """
    asked = call.query.text("fcm_subtrader_id")
    keys = [key for key in exchange.venue.state.keys.values() if key.member == call.member and asked is None]
    return orjson.dumps({"api_keys": [_key_row(key) for key in keys]})


def _key_row(key: ApiKey) -> Row:
    row: Row = {"api_key_id": key.key_id, "name": key.name, "scopes": list(key.scopes)}
    if key.subaccount is not None:
        row["subaccount"] = key.subaccount
    return row


def create_api_key(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /api_keys: register the public part of a key that the member made."""
    fields = decode_body(call, _CREATE_KEY)
    if exchange.limits.tier.name in _WITHOUT_OWN_KEYS:
        raise forbidden("creating api keys requires a higher api usage level")
    key_id = _register(exchange, call, fields, fields.required("public_key"))
    return orjson.dumps({"api_key_id": key_id})


def generate_api_key(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /api_keys/generate: make a key pair and show the private part only in this response."""
    fields = decode_body(call, _GENERATE_KEY)
    key_type = fields.text("key_type") or "rsa"
    if key_type not in {"rsa", "ed25519"}:
        raise invalid_field(fields.struct, "key_type", "oneof")
    fields.required("name")
    key: RSAPrivateKey | Ed25519PrivateKey
    if key_type == "rsa":
        key, form = generate_private_key(65_537, 2_048), PrivateFormat.TraditionalOpenSSL
    else:
        key, form = Ed25519PrivateKey.generate(), PrivateFormat.PKCS8
    key_id = _register(exchange, call, fields, public_pem(key.public_key()))
    private = key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()
    return orjson.dumps({"api_key_id": key_id, "key_type": key_type, "private_key": private})


def _register(exchange: Exchange, call: Call, fields: Fields, pem: str) -> str:
    """Register a key with the name, scopes and sub-account in a request body, and return the key id."""
    if fields.text("fcm_subtrader_id") is not None:
        raise forbidden("fcm_subtrader_id requires an FCM member")
    engine = exchange.venue.engine
    subaccount = fields.whole("subaccount", 0, LAST_SUBACCOUNT)
    if subaccount is not None and subaccount not in engine.state.members[call.member].subaccounts:
        raise RequestRefused("subaccount_not_found")
    scopes = fields.values.get("scopes")
    key_id = engine.recorder.identifier(_KEY_NUMBERS)
    wanted = KeyRequest(
        key_id,
        pem,
        call.member,
        fields.required("name"),
        FULL_SCOPES if scopes is None else tuple(scopes),
        subaccount,
    )
    try:
        register_key(engine, wanted, at_us=call.now_us)
    except (UnusablePublicKey, UnusableScopes) as error:
        raise RequestRefused("bad_request", error.problem) from error
    return key_id


def delete_api_key(exchange: Exchange, call: Call) -> bytes:
    """Answer DELETE /api_keys/{api_key}."""
    engine = exchange.venue.engine
    key = engine.state.keys.get(call.path["api_key"])
    if key is None or key.member != call.member:
        raise not_found()
    engine.recorder.emit(KeyDeleted(at_us=call.now_us, key_id=key.key_id))
    return b""


def create_subaccount(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/subaccounts. The request has no body. The new sub-account exists on every shard."""
    if exchange.limits.tier.name in _WITHOUT_SUBACCOUNTS:
        raise RequestRefused("bad_request", "subaccounts require a higher api usage level")
    number = exchange.venue.engine.accounts.open_subaccount(call.member, at_us=call.now_us)
    return orjson.dumps({"subaccount_number": number})


def get_subaccount_balances(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/subaccounts/balances."""
    state = exchange.venue.as_read()
    locked = call.subaccount(None, None)
    opened = sorted(state.members[call.member].subaccounts) if call.member in state.members else []
    rows = [
        {
            "balance": short_dollars_text(free_money(state, call.member, number, shard)),
            "exchange_index": shard,
            "subaccount_number": number,
            "updated_ts": exchange.venue.as_of_us() // SECOND_US,
        }
        for number in opened
        if locked in {None, number}
        for shard in state.shards
    ]
    return orjson.dumps({"subaccount_balances": rows})


def _transfer_id(fields: Fields) -> str | None:
    text = fields.text("client_transfer_id")
    if text is None:
        return None
    try:
        return str(UUID(text))
    except ValueError as error:
        raise undecodable(f"client_transfer_id: {text!r} is no UUID") from error


def transfer_between_subaccounts(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/subaccounts/transfer."""
    fields = decode_body(call, _SUBACCOUNT_TRANSFER)
    client_id = _transfer_id(fields)
    if client_id is None:
        raise invalid_field(fields.struct, "client_transfer_id", "required", "missing_parameters")
    shard = fields.whole("exchange_index", 0) or 0
    source, destination = fields.required_whole("from_subaccount", 0), fields.required_whole("to_subaccount", 0)
    amount = fields.required_whole("amount_cents", 1) * CENT
    try:
        exchange.venue.engine.accounts.transfer(
            call.member, (source, shard), (destination, shard), amount, client_id, at_us=call.now_us
        )
    except RequestRefused as refused:
        # The vendor's document lists no 409 for transfers between sub-accounts, so the sandbox answers 400 to a
        # repeated transfer id.
        raise RequestRefused("bad_request", refused.code) if refused.status == 409 else refused from refused
    return b"{}"


def transfer_between_shards(exchange: Exchange, call: Call) -> bytes:
    """Answer POST /portfolio/intra_exchange_instance_transfer."""
    fields = decode_body(call, _SHARD_TRANSFER)
    for name in ("source", "destination"):
        if fields.choice(name, ("event_contract", "margined")) == "margined":
            raise RequestRefused("bad_request", "this account has no margined exchange instance")
    client_id = _transfer_id(fields)
    amount = fields.required_whole("amount", 1) * CENTI_CENT
    shards = [fields.whole(f"{end}_exchange_shard", 0, LAST_SHARD) or 0 for end in ("source", "destination")]
    owners = [fields.whole(f"{end}_subaccount", 0) or 0 for end in ("source", "destination")]
    locked = None if call.key is None else call.key.subaccount
    if locked is not None and set(owners) != {locked}:
        raise forbidden("api key is restricted to another subaccount")
    if client_id is not None and any(owners):
        raise RequestRefused("bad_request", "client_transfer_id is only supported for primary accounts")
    return _move_money(exchange, call, list(zip(owners, shards, strict=True)), amount, client_id)


def _move_money(
    exchange: Exchange, call: Call, ends: list[tuple[int, int]], amount: int, client_id: str | None
) -> bytes:
    """Move money of a member between two sub-accounts, two shards, or both.

    Money that changes shards passes through the primary account.
    """
    state = exchange.venue.state
    if any(owner not in state.members[call.member].subaccounts for owner, _ in ends):
        raise RequestRefused("subaccount_not_found")
    if any(shard not in state.shards for _, shard in ends):
        raise RequestRefused("bad_request", "no such exchange shard")
    source, destination = ends
    ways = [source, destination]
    if source[1] != destination[1]:
        ways = list(dict.fromkeys((source, (0, source[1]), (0, destination[1]), destination)))
    engine, moved = exchange.venue.engine, []
    for start, end in pairwise(ways):
        moved.append(engine.accounts.transfer(call.member, start, end, amount, client_id, at_us=call.now_us))
    shown = next((transfer for transfer in moved if _is_between_shards(transfer)), moved[0])
    return orjson.dumps({"transfer_id": shown.transfer_id})


def _is_between_shards(transfer: Transfer) -> bool:
    return transfer.from_shard != transfer.to_shard


def get_subaccount_transfers(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/subaccounts/transfers."""
    transfers = exchange.venue.as_read().transfers_of.get(call.member, ())
    page = page_back(
        transfers,
        call.query.cursor,
        call.query.rows(MOST_SUBACCOUNT_TRANSFERS),
        lambda transfer: not _is_between_shards(transfer),
    )
    return orjson.dumps({"cursor": page.cursor, "transfers": [subaccount_transfer_row(row) for row in page.rows]})


def get_shard_transfers(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/intra_exchange_instance_transfers. The last page has no cursor."""
    transfers = exchange.venue.as_read().transfers_of.get(call.member, ())
    page = page_back(transfers, call.query.cursor, call.query.rows(MOST_SHARD_TRANSFERS), _is_between_shards)
    body: Row = {"transfers": [shard_transfer_row(row) for row in page.rows]}
    if page.cursor:
        body["cursor"] = page.cursor
    return orjson.dumps(body)


def get_shard_transfer(exchange: Exchange, call: Call) -> bytes:
    """Answer GET /portfolio/intra_exchange_instance_transfers/{transfer_id}."""
    transfers = exchange.venue.as_read().transfers_of.get(call.member, ())
    for transfer in transfers:
        if transfer.transfer_id == call.path["transfer_id"] and _is_between_shards(transfer):
            return orjson.dumps({"transfer": shard_transfer_row(transfer)})
    raise not_found()


_Answer = Callable[[Exchange, Call], bytes]
_SHARD_TRANSFERS: Final = "/portfolio/intra_exchange_instance_transfer"
_SUBACCOUNTS: Final = "/portfolio/subaccounts"


def _reads(operation: str, template: str, answer: _Answer, *, for_locked_keys: bool = False) -> Endpoint:
    return Endpoint(operation, "GET", template, answer, needs_key=True, scope="read", for_locked_keys=for_locked_keys)


def _writes(
    operation: str,
    method: str,
    template: str,
    answer: _Answer,
    success: int,
    scope: str = "write",
    *,
    for_locked_keys: bool = False,
) -> Endpoint:
    return Endpoint(
        operation,
        method,
        template,
        answer,
        needs_key=True,
        success=success,
        scope=scope,
        for_locked_keys=for_locked_keys,
    )


ACCOUNT_ENDPOINTS: Final = (
    _reads("GetApiKeys", "/api_keys", get_api_keys, for_locked_keys=True),
    _writes("CreateApiKey", "POST", "/api_keys", create_api_key, 201),
    _writes("GenerateApiKey", "POST", "/api_keys/generate", generate_api_key, 201),
    _writes("DeleteApiKey", "DELETE", "/api_keys/{api_key}", delete_api_key, 204),
    _writes("CreateSubaccount", "POST", _SUBACCOUNTS, create_subaccount, 201),
    _writes(
        "ApplySubaccountTransfer", "POST", _SUBACCOUNTS + "/transfer", transfer_between_subaccounts, 200,
        "write::transfer",
    ),
    _reads("GetSubaccountBalances", _SUBACCOUNTS + "/balances", get_subaccount_balances, for_locked_keys=True),
    _reads("GetSubaccountTransfers", _SUBACCOUNTS + "/transfers", get_subaccount_transfers),
    _writes(
        "IntraExchangeInstanceTransfer", "POST", _SHARD_TRANSFERS, transfer_between_shards, 200, "write::transfer",
        for_locked_keys=True,
    ),
    _reads("GetIntraExchangeInstanceTransfers", _SHARD_TRANSFERS + "s", get_shard_transfers),
    _reads("GetIntraExchangeInstanceTransfer", _SHARD_TRANSFERS + "s/{transfer_id}", get_shard_transfer),
)  # fmt: skip

from dataclasses import replace
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox, Row, local_sandbox
from kalshi_pipelines_tests.support.sandbox.signed_member import QUIET, SignedMember, error_of, tickers
from kalshi_pipelines_tests.support.sandbox.signing import RequestSigner

NOON_S = 1_795_348_800
SUBACCOUNTS = "/portfolio/subaccounts"
TRANSFER = "/portfolio/intra_exchange_instance_transfer"


def _on_tier(tier: str) -> SignedMember:
    return SignedMember(local_sandbox(replace(QUIET, tier=tier)))


def _asks_as(sandbox: LocalSandbox, signer: RequestSigner) -> int:
    return sandbox.client.get(API + "/account/limits", auth=signer).status_code


@pytest.mark.parametrize(
    ("asked", "key_type", "kind", "first_line"),
    [
        ({}, "rsa", RSAPrivateKey, "-----BEGIN RSA PRIVATE KEY-----"),
        ({"key_type": "ed25519"}, "ed25519", Ed25519PrivateKey, "-----BEGIN PRIVATE KEY-----"),
    ],
)
def test_a_generated_key_signs_until_it_is_deleted(
    sandbox: LocalSandbox, me: SignedMember, asked: Row, key_type: str, kind: type, first_line: str
) -> None:
    response = me.send("POST", "/api_keys/generate", {"name": "new", **asked})
    assert response.status_code == 201
    made = response.json()
    assert made["key_type"] == key_type
    assert made["private_key"].startswith(first_line)
    private = load_pem_private_key(made["private_key"].encode(), None)
    assert isinstance(private, kind)
    assert isinstance(private, RSAPrivateKey | Ed25519PrivateKey)
    signer = RequestSigner(made["api_key_id"], private, me.signer.now_ms)
    assert _asks_as(sandbox, signer) == 200
    deleted = me.send("DELETE", f"/api_keys/{made['api_key_id']}")
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert _asks_as(sandbox, signer) == 401
    assert error_of(me.send("DELETE", f"/api_keys/{made['api_key_id']}")) == (404, "not_found")


def test_a_key_of_the_members_own_is_registered_with_scopes_and_a_lock(sandbox: LocalSandbox, me: SignedMember) -> None:
    me.send("POST", SUBACCOUNTS)
    signer = RequestSigner("", now_ms=me.signer.now_ms)
    wish = {"name": "bot", "public_key": signer.public_pem, "scopes": ["read", "write::trade"], "subaccount": 1}
    response = me.send("POST", "/api_keys", wish)
    assert response.status_code == 201
    signer.key_id = response.json()["api_key_id"]
    assert _asks_as(sandbox, signer) == 200
    listed = me.read("/api_keys")["api_keys"]
    assert [row["name"] for row in listed] == ["", "bot"]
    assert listed[1] == {
        "api_key_id": signer.key_id,
        "name": "bot",
        "scopes": ["read", "write::trade"],
        "subaccount": 1,
    }
    assert me.read("/api_keys", fcm_subtrader_id="x") == {"api_keys": []}


@pytest.mark.parametrize(
    ("broken", "status"),
    [
        ({"name": None}, 400),
        ({"public_key": None}, 400),
        ({"public_key": "no key"}, 400),
        ({"scopes": []}, 400),
        ({"scopes": ["write"]}, 400),
        ({"scopes": ["everything"]}, 400),
        ({"scopes": "read"}, 400),
        ({"scopes": [1]}, 400),
        ({"subaccount": 5}, 400),
        ({"subaccount": 64}, 400),
        ({"fcm_subtrader_id": "me_1"}, 403),
    ],
)
def test_a_wrong_wish_for_a_key_makes_none(me: SignedMember, broken: Row, status: int) -> None:
    wish = {"name": "bot", "public_key": me.signer.public_pem, **broken}
    assert me.send("POST", "/api_keys", wish).status_code == status
    assert len(me.read("/api_keys")["api_keys"]) == 1


def test_a_kind_of_key_that_is_unknown_is_refused(me: SignedMember) -> None:
    assert me.send("POST", "/api_keys/generate", {"name": "x", "key_type": "dsa"}).status_code == 400
    assert me.send("POST", "/api_keys/generate", {"key_type": "ed25519"}).status_code == 400


def test_members_neither_see_nor_delete_the_keys_of_others(sandbox: LocalSandbox, me: SignedMember) -> None:
    other = SignedMember(sandbox, "other")
    assert [row["api_key_id"] for row in other.read("/api_keys")["api_keys"]] == [other.signer.key_id]
    assert me.send("DELETE", f"/api_keys/{other.signer.key_id}").status_code == 404


def test_keys_and_sub_accounts_are_managed_with_the_scope_to_write_all(sandbox: LocalSandbox, me: SignedMember) -> None:
    trader = SignedMember(sandbox, "me", terms={"scopes": ["read", "write::trade"]})
    body = {"name": "x", "key_type": "ed25519"}
    assert trader.send("POST", "/api_keys/generate", body).status_code == 403
    assert trader.send("DELETE", f"/api_keys/{me.signer.key_id}").status_code == 403
    assert trader.send("POST", SUBACCOUNTS).status_code == 403
    assert trader.send("POST", TRANSFER, _shards()).status_code == 403
    mover = SignedMember(sandbox, "me", terms={"scopes": ["write::transfer"]})
    assert mover.send("POST", TRANSFER, _shards()).status_code == 200


def test_the_tier_decides_about_own_keys_and_sub_accounts() -> None:
    basic, advanced, premier = _on_tier("basic"), _on_tier("advanced"), _on_tier("premier")
    members = (basic, advanced, premier)
    assert [member.send("POST", SUBACCOUNTS).status_code for member in members] == [400, 201, 201]
    statuses = []
    for member in members:
        wish = {"name": "bot", "public_key": RequestSigner("").public_pem}
        statuses.append(member.send("POST", "/api_keys", wish).status_code)
    assert statuses == [403, 403, 201]


def test_sub_accounts_are_numbered_and_there_are_63(me: SignedMember) -> None:
    numbers = [me.send("POST", SUBACCOUNTS).json()["subaccount_number"] for _ in range(63)]
    assert numbers == list(range(1, 64))
    assert me.send("POST", SUBACCOUNTS).status_code == 400


def _between(me: SignedMember, **terms: object) -> Row:
    return {
        "client_transfer_id": str(uuid4()),
        "from_subaccount": 0,
        "to_subaccount": 1,
        "amount_cents": 1_050,
        **terms,
    }


def test_money_moves_between_sub_accounts(me: SignedMember) -> None:
    me.send("POST", SUBACCOUNTS)
    moved = me.send("POST", f"{SUBACCOUNTS}/transfer", _between(me))
    assert (moved.status_code, moved.json()) == (200, {})
    assert me.balance(subaccount=1)["balance_dollars"] == "10.5000"
    assert me.balance()["balance_dollars"] == "3989.5000"
    rows = me.read(f"{SUBACCOUNTS}/balances")["subaccount_balances"]
    assert [(row["subaccount_number"], row["exchange_index"]) for row in rows] == [
        (number, shard) for number in (0, 1) for shard in range(4)
    ]
    assert rows[4] == {"balance": "10.5000", "exchange_index": 0, "subaccount_number": 1, "updated_ts": NOON_S}
    transfer = me.read(f"{SUBACCOUNTS}/transfers")["transfers"][0]
    assert {**transfer, "transfer_id": ""} == {
        "amount_cents": 1_050,
        "created_ts": NOON_S,
        "exchange_index": 0,
        "from_subaccount": 0,
        "to_subaccount": 1,
        "transfer_id": "",
    }


@pytest.mark.parametrize(
    "broken",
    [
        {"client_transfer_id": None},
        {"client_transfer_id": "mine"},
        {"from_subaccount": None},
        {"to_subaccount": 9},
        {"to_subaccount": 0},
        {"from_subaccount": -1},
        {"amount_cents": 0},
        {"amount_cents": -5},
        {"amount_cents": "5"},
        {"amount_cents": 100_001},
        {"exchange_index": 7},
    ],
)
def test_a_wrong_transfer_between_sub_accounts_moves_nothing(me: SignedMember, broken: Row) -> None:
    me.send("POST", SUBACCOUNTS)
    assert me.send("POST", f"{SUBACCOUNTS}/transfer", _between(me, **broken)).status_code == 400
    assert me.balance()["balance"] == 400_000


def test_a_transfer_is_made_once_for_its_id(me: SignedMember) -> None:
    me.send("POST", SUBACCOUNTS)
    body = _between(me)
    statuses = [me.send("POST", f"{SUBACCOUNTS}/transfer", body).status_code for _ in range(2)]
    assert statuses == [200, 400]
    assert me.balance(subaccount=1)["balance"] == 1_050
    shards = _shards(client_transfer_id=str(uuid4()))
    answers = [me.send("POST", TRANSFER, shards) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 409]
    assert error_of(answers[1]) == (409, "transfer_already_exists")


def _shards(**terms: object) -> Row:
    return {
        "source": "event_contract",
        "destination": "event_contract",
        "amount": 125_000,
        "destination_exchange_shard": 3,
        **terms,
    }


def test_money_moves_between_shards_in_centi_cents(me: SignedMember) -> None:
    client_id = str(uuid4())
    response = me.send("POST", TRANSFER, _shards(client_transfer_id=client_id))
    assert response.status_code == 200
    assert me.balance(exchange_index=0)["balance_dollars"] == "987.5000"
    assert me.balance(exchange_index=3)["balance_dollars"] == "1012.5000"
    row = {
        "amount": "12.5000", "client_transfer_id": client_id, "created_ts": NOON_S, "destination": "event_contract",
        "destination_exchange_shard": 3, "source": "event_contract", "source_exchange_shard": 0, "status": "complete",
        "transfer_id": response.json()["transfer_id"],
    }  # fmt: skip
    assert me.read(f"{TRANSFER}s") == {"transfers": [row]}
    assert me.read(f"{TRANSFER}s/{row['transfer_id']}") == {"transfer": row}
    assert me.send("GET", f"{TRANSFER}s/{client_id}").status_code == 404
    assert me.read(f"{SUBACCOUNTS}/transfers")["transfers"] == []


def test_the_last_page_of_transfers_between_shards_has_no_cursor(me: SignedMember) -> None:
    for _ in range(3):
        assert me.send("POST", TRANSFER, _shards()).status_code == 200
    first = me.read(f"{TRANSFER}s", limit=2)
    assert len(first["transfers"]) == 2
    assert set(me.read(f"{TRANSFER}s", limit=2, cursor=first["cursor"])) == {"transfers"}
    assert me.send("GET", f"{TRANSFER}s", limit=501).status_code == 400


def test_a_transfer_on_one_shard_is_one_between_sub_accounts(me: SignedMember) -> None:
    me.send("POST", SUBACCOUNTS)
    body = _shards(destination_exchange_shard=0, destination_subaccount=1)
    transfer_id = me.send("POST", TRANSFER, body).json()["transfer_id"]
    assert [row["transfer_id"] for row in me.read(f"{SUBACCOUNTS}/transfers")["transfers"]] == [transfer_id]
    assert me.read(f"{TRANSFER}s") == {"transfers": []}


def test_a_transfer_across_shards_and_sub_accounts_goes_by_the_primary_account(me: SignedMember) -> None:
    for _ in range(2):
        me.send("POST", SUBACCOUNTS)
    me.send("POST", f"{SUBACCOUNTS}/transfer", _between(me, amount_cents=2_000))
    response = me.send("POST", TRANSFER, _shards(source_subaccount=1, destination_subaccount=2))
    assert response.status_code == 200
    assert me.balance(subaccount=1, exchange_index=0)["balance_dollars"] == "7.5000"
    assert me.balance(subaccount=2, exchange_index=3)["balance_dollars"] == "12.5000"
    assert [row["transfer_id"] for row in me.read(f"{TRANSFER}s")["transfers"]] == [response.json()["transfer_id"]]
    assert len(me.read(f"{SUBACCOUNTS}/transfers")["transfers"]) == 3


@pytest.mark.parametrize(
    "broken",
    [
        {"source": None},
        {"destination": "elsewhere"},
        {"source": "margined"},
        {"amount": 0},
        {"amount": 10_000_001},
        {"amount": "5"},
        {"destination_exchange_shard": 0},
        {"destination_exchange_shard": 50},
        {"destination_exchange_shard": -1},
        {"destination_subaccount": 9},
        {"client_transfer_id": "x"},
        {"client_transfer_id": str(uuid4()), "destination_subaccount": 1},
    ],
)
def test_a_wrong_transfer_between_shards_moves_nothing(me: SignedMember, broken: Row) -> None:
    me.send("POST", SUBACCOUNTS)
    before = me.balance()
    assert me.send("POST", TRANSFER, _shards(**broken)).status_code == 400
    assert me.balance() == before


def test_collateral_of_resting_orders_cannot_be_moved(sandbox: LocalSandbox, me: SignedMember) -> None:
    me.place(tickers(sandbox)[0], "bid", "0.9000", "1100.00")
    assert error_of(me.send("POST", TRANSFER, _shards())) == (400, "insufficient_balance")
    assert me.send("POST", TRANSFER, _shards(amount=100_000)).status_code == 200


def test_a_locked_key_moves_money_between_the_shards_of_its_sub_account_only(sandbox: LocalSandbox) -> None:
    locked = SignedMember(sandbox, "me", terms={"subaccount": 1})
    inside = _shards(source_subaccount=1, destination_subaccount=1)
    assert locked.send("POST", TRANSFER, inside).status_code == 200
    assert locked.balance(exchange_index=3)["balance_dollars"] == "1012.5000"
    for body in (_shards(), _shards(source_subaccount=1)):
        assert locked.send("POST", TRANSFER, body).status_code == 403
    assert {row["subaccount_number"] for row in locked.read(f"{SUBACCOUNTS}/balances")["subaccount_balances"]} == {1}
    for method, path in (("POST", SUBACCOUNTS), ("GET", f"{SUBACCOUNTS}/transfers")):
        assert locked.send(method, path).status_code == 403
    assert locked.send("POST", f"{SUBACCOUNTS}/transfer", _between(locked)).status_code == 403


def test_a_locked_key_lists_the_keys_with_its_own_lock_but_makes_none(sandbox: LocalSandbox) -> None:
    locked = SignedMember(sandbox, "me", terms={"subaccount": 1})
    own = [row for row in locked.read("/api_keys")["api_keys"] if row["api_key_id"] == locked.signer.key_id]
    assert [row["subaccount"] for row in own] == [1]
    assert locked.send("POST", "/api_keys/generate", {"name": "more"}).status_code == 403
    assert locked.send("DELETE", f"/api_keys/{locked.signer.key_id}").status_code == 403

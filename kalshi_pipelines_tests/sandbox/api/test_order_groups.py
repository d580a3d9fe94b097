import pytest

from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox, Row
from kalshi_pipelines_tests.support.sandbox.signed_member import ORDERS, SignedMember, error_of, order

GROUPS = "/portfolio/order_groups"


def _group(me: SignedMember, **terms: object) -> str:
    response = me.send("POST", f"{GROUPS}/create", {"contracts_limit": 10, **terms})
    assert response.status_code == 201, response.text
    return str(response.json()["order_group_id"])


def test_a_group_is_made_listed_and_shown(me: SignedMember, ticker: str) -> None:
    created = me.send("POST", f"{GROUPS}/create", {"contracts_limit_fp": "2.50"}).json()
    group_id = created["order_group_id"]
    assert created == {"exchange_index": 0, "order_group_id": group_id, "subaccount": 0}
    row = {"contracts_limit_fp": "2.50", "exchange_index": 0, "is_auto_cancel_enabled": True}
    assert me.read(GROUPS) == {"order_groups": [{**row, "id": group_id}]}
    placed = me.place(ticker, "bid", "0.1000", order_group_id=group_id)
    assert me.read(f"{GROUPS}/{group_id}") == {**row, "orders": [placed["order_id"]]}
    assert me.order(placed["order_id"])["order_group_id"] == group_id


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contracts_limit": 0},
        {"contracts_limit": 1_000_001},
        {"contracts_limit_fp": "0"},
        {"contracts_limit_fp": "1000000.01"},
        {"contracts_limit_fp": "many"},
        {"contracts_limit": 3, "contracts_limit_fp": "3.50"},
        {"contracts_limit": "3"},
        {"contracts_limit": 3, "subaccount": 7},
        {"contracts_limit": 3, "exchange_index": 9},
        {"contracts_limit": 3, "exchange_index": -1},
    ],
)
def test_a_group_needs_one_limit_and_a_place(me: SignedMember, body: Row) -> None:
    assert me.send("POST", f"{GROUPS}/create", body).status_code == 400
    assert me.read(GROUPS) == {"order_groups": []}


def test_both_limits_may_be_given_if_they_match(me: SignedMember) -> None:
    group_id = _group(me, contracts_limit=3, contracts_limit_fp="3.00")
    assert me.read(f"{GROUPS}/{group_id}")["contracts_limit_fp"] == "3.00"


def test_a_group_that_traded_its_limit_cancels_its_orders_until_it_is_reset(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    group_id = _group(me, contracts_limit=2)
    resting = [
        me.place(ticker, "bid", price, "2.00", order_group_id=group_id)["order_id"] for price in ("0.20", "0.10")
    ]
    other.place(ticker, "ask", "0.20", "2.00")
    assert [me.order(order_id)["status"] for order_id in resting] == ["executed", "canceled"]
    refused = me.send("POST", ORDERS, order(ticker, "bid", "0.10", order_group_id=group_id))
    assert error_of(refused) == (400, "order_group_triggered")
    reset = me.send("PUT", f"{GROUPS}/{group_id}/reset")
    assert (reset.status_code, reset.json()) == (200, {})
    assert me.place(ticker, "bid", "0.10", order_group_id=group_id)["remaining_count"] == "1.00"


def test_a_group_forgets_what_traded_fifteen_seconds_ago(
    sandbox: LocalSandbox, me: SignedMember, other: SignedMember, ticker: str
) -> None:
    group_id = _group(me, contracts_limit=3)
    resting = me.place(ticker, "bid", "0.20", "10.00", order_group_id=group_id)["order_id"]
    for _ in range(3):
        other.place(ticker, "ask", "0.20", "2.00")
        sandbox.pass_seconds(16)
    assert me.order(resting)["status"] == "resting"


def test_a_group_is_triggered_by_hand_without_a_body(me: SignedMember, ticker: str) -> None:
    group_id = _group(me)
    placed = me.place(ticker, "bid", "0.20", order_group_id=group_id)["order_id"]
    assert me.send("PUT", f"{GROUPS}/{group_id}/trigger", {}).json() == {}
    assert me.order(placed)["status"] == "canceled"


def test_a_lower_limit_may_trigger_at_once(me: SignedMember, other: SignedMember, ticker: str) -> None:
    group_id = _group(me)
    resting = me.place(ticker, "bid", "0.20", "8.00", order_group_id=group_id)["order_id"]
    other.place(ticker, "ask", "0.20", "4.00")
    limit = me.send("PUT", f"{GROUPS}/{group_id}/limit", {"contracts_limit": 5})
    assert (limit.status_code, limit.json()) == (200, {})
    assert me.order(resting)["status"] == "resting"
    assert me.send("PUT", f"{GROUPS}/{group_id}/limit", {"contracts_limit": 4}).status_code == 200
    assert me.order(resting)["status"] == "canceled"
    assert error_of(me.send("PUT", f"{GROUPS}/{group_id}/limit", {})) == (400, "missing_parameters")
    without = me.sandbox.client.put(f"{API}{GROUPS}/{group_id}/limit", auth=me.signer)
    assert error_of(without) == (400, "invalid_content_type")


def test_a_deleted_group_takes_its_orders_with_it_and_is_gone(me: SignedMember, ticker: str) -> None:
    group_id = _group(me)
    placed = me.place(ticker, "bid", "0.20", order_group_id=group_id)["order_id"]
    deleted = me.send("DELETE", f"{GROUPS}/{group_id}")
    assert (deleted.status_code, deleted.json()) == (200, {})
    assert me.order(placed)["status"] == "canceled"
    assert error_of(me.send("DELETE", f"{GROUPS}/{group_id}")) == (404, "not_found")
    assert error_of(me.send("GET", f"{GROUPS}/{group_id}")) == (404, "not_found")


def test_writes_default_to_shard_0_of_the_primary_account(me: SignedMember) -> None:
    me.send("POST", "/portfolio/subaccounts")
    group_id = _group(me, subaccount=1, exchange_index=3)
    path = f"{GROUPS}/{group_id}/reset"
    places: list[Row] = [{}, {"subaccount": 1}, {"exchange_index": 3}, {"subaccount": 1, "exchange_index": "x"}]
    assert [me.send("PUT", path, **place).status_code for place in places] == [404] * 4
    assert me.send("PUT", path, subaccount=1, exchange_index=3).status_code == 200


def test_reads_default_to_every_sub_account(me: SignedMember, other: SignedMember) -> None:
    me.send("POST", "/portfolio/subaccounts")
    ids = [_group(me), _group(me, subaccount=1)]
    assert [row["id"] for row in me.read(GROUPS)["order_groups"]] == ids
    assert [row["id"] for row in me.read(GROUPS, subaccount=1)["order_groups"]] == ids[1:]
    assert me.read(f"{GROUPS}/{ids[1]}")["orders"] == []
    assert me.send("GET", f"{GROUPS}/{ids[1]}", subaccount=0).status_code == 404
    assert other.read(GROUPS) == {"order_groups": []}
    assert other.send("GET", f"{GROUPS}/{ids[0]}").status_code == 404


def test_a_locked_key_sees_the_groups_of_its_sub_account(sandbox: LocalSandbox, me: SignedMember) -> None:
    _group(me)
    locked = SignedMember(sandbox, "me", terms={"subaccount": 1})
    mine = _group(locked)
    assert [row["id"] for row in locked.read(GROUPS)["order_groups"]] == [mine]
    assert locked.send("GET", GROUPS, subaccount=0).status_code == 403
    assert locked.send("PUT", f"{GROUPS}/{mine}/reset").status_code == 200

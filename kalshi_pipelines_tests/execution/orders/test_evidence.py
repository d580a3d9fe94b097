"""Orders and positions as the exchange lists them: ended orders, orders listed twice, and costs of positions."""

from dataclasses import replace
from itertools import permutations

import pytest

from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    combine_digests,
    merge_orders,
)
from kalshi_pipelines.execution.orders.terms import Side

RESTING = ExchangeOrder("o-1", "kx1-a", "KXA-1", Side.BID, 5_000, 1_000, 0, 1_000, OrderStatus.RESTING, None, 5)


@pytest.mark.parametrize(
    ("status", "filled", "rests", "did_nothing"),
    [
        (OrderStatus.RESTING, 0, True, False),
        (OrderStatus.RESTING, 1, True, False),
        (OrderStatus.CANCELED, 0, False, True),
        (OrderStatus.CANCELED, 1, False, False),
        (OrderStatus.EXECUTED, 1_000, False, False),
    ],
)
def test_only_an_order_that_ended_without_fills_did_nothing(
    status: OrderStatus, filled: int, rests: bool, did_nothing: bool
) -> None:
    order = replace(RESTING, status=status, filled_centicontracts=filled)
    assert (order.is_resting, order.did_nothing) == (rests, did_nothing)


def test_latest_state_of_an_order_read_several_times_counts() -> None:
    later = replace(RESTING, updated_us=6)
    filled = replace(RESTING, filled_centicontracts=400, updated_us=4)
    canceled = replace(RESTING, status=OrderStatus.CANCELED, updated_us=3)
    other = replace(RESTING, order_id="o-2")
    for some, counts in (
        ((RESTING, later), later),
        ((RESTING, later, filled), filled),
        ((RESTING, later, filled, canceled), canceled),
    ):
        for listed in permutations(some):
            assert merge_orders([*listed, other]) == {"o-1": counts, "o-2": other}
    again = replace(RESTING, count_centicontracts=999)
    assert merge_orders([RESTING, again])["o-1"] is again, "of two equally advanced states, the one read last counts"


def test_sweep_finds_orders_by_client_order_id() -> None:
    other = replace(RESTING, order_id="o-2", client_order_id="kx1-b")
    sweep = OrderSweep(merge_orders([RESTING, other]), 1, combine_digests(["a", "b"]))
    assert sweep.of_client("kx1-b") == [other]
    assert sweep.of_client("kx1-c") == []
    assert combine_digests(["a", "b"]) != combine_digests(["b", "a"])


@pytest.mark.parametrize(("position", "cost", "spent"), [(300, 1_500_000, 1_500_000), (-300, 1_200_000, -1_800_000)])
def test_no_contracts_count_as_sold_yes_contracts(position: int, cost: int, spent: int) -> None:
    assert Holding("KXA-1", position, cost).spent_microdollars == spent

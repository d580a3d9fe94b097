"""Tests of the result of each fill: what it opened, and the loss that it realised."""

import pytest

from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.reconciliation.fill_results import fill_results


def _fill(number: int, side: str, count: int, price: int, fee: int = 0) -> Fill:
    return Fill(f"fill-{number}", "order", "KXA-1", Side(side), price, count, fee, number)


Steps = list[tuple[str, int, int, int]]


@pytest.mark.parametrize(
    ("steps", "wanted"),
    [
        ([("bid", 100, 4_000, 7)], [(100, 7, 0)]),
        ([("bid", 100, 4_000, 0), ("ask", 100, 3_000, 5)], [(100, 0, 0), (0, 0, 100_005)]),
        ([("bid", 100, 4_000, 0), ("ask", 100, 6_000, 0)], [(100, 0, 0), (0, 0, -200_000)]),
        # A bought NO is a sold YES. It cost 0.60 and was sold for 0.50.
        ([("ask", 100, 4_000, 0), ("bid", 100, 5_000, 0)], [(100, 0, 0), (0, 0, 100_000)]),
        # The average cost of 0.45 counts, whichever contracts are sold.
        (
            [("bid", 100, 4_000, 0), ("bid", 100, 5_000, 0), ("ask", 100, 4_500, 0)],
            [(100, 0, 0), (100, 0, 0), (0, 0, 0)],
        ),
        # A fill that turns the position closes the old one and opens a new one. The fee is shared.
        ([("bid", 100, 4_000, 0), ("ask", 300, 4_000, 9)], [(100, 0, 0), (200, 6, 3)]),
        ([("bid", 3, 3_333, 0), ("ask", 1, 3_333, 0), ("ask", 2, 3_333, 0)], [(3, 0, 0), (0, 0, 0), (0, 0, 0)]),
    ],
)
def test_fill_opens_or_realises(steps: Steps, wanted: list[tuple[int, int, int]]) -> None:
    fills = [_fill(number, *step) for number, step in enumerate(steps)]
    results = fill_results(fills)
    assert [
        (each.opened_centicontracts, each.opening_fee_microdollars, each.realised_microdollars) for each in results
    ] == wanted


def test_results_of_a_flat_market_add_up_to_its_cash() -> None:
    fills = [
        _fill(1, "bid", 700, 3_100, 11),
        _fill(2, "ask", 250, 2_900, 3),
        _fill(3, "ask", 900, 3_500, 17),
        _fill(4, "bid", 450, 3_700, 5),
    ]
    paid = sum(
        (1 if fill.side is Side.BID else -1) * fill.price_centicents * fill.count_centicontracts + fill.fee_microdollars
        for fill in fills
    )
    results = fill_results(fills)
    assert sum(each.realised_microdollars + each.opening_fee_microdollars for each in results) == paid

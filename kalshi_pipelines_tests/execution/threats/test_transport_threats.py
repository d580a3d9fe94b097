"""Writes that change what rests: repeated, sent to the wrong shard, in batches, or mistaken for a cap."""

from collections.abc import Iterator

import pytest

from kalshi_pipelines.execution.decisions import Outcome
from kalshi_pipelines.execution.dispatch import GROUP_CONTRACTS
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.orders.denials import DenialReason
from kalshi_pipelines.execution.orders.terms import Contracts, MarketTicker, OrderId
from kalshi_pipelines.execution.transport.allow_list import Write
from kalshi_pipelines_tests.execution.floor import Floor, live_trader, ready_journal, resting, trading_floor


@pytest.fixture(scope="module")
def floor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    with trading_floor(tmp_path_factory.mktemp("floor")) as made:
        yield made


def order_of(floor: Floor, order_id: str) -> dict[str, object]:
    path = f"/trade-api/v2/portfolio/orders/{order_id}"
    answer = floor.http.get(
        f"{floor.sandbox.admin_url}{path}", headers=floor.signer.headers("GET", path)
    ).raise_for_status()
    found: dict[str, object] = answer.json()["order"]
    return found


def test_F36_F46_a_decrease_repeated_leaves_as_much_and_a_cancel_finds_its_shard(
    floor: Floor, sqlite_journal_url: str
) -> None:
    journal_engine = open_journal(sqlite_journal_url)
    trader = live_trader(floor, ready_journal(journal_engine))
    markets = floor.http.get(
        f"{floor.sandbox.url}/markets", params={"status": "open", "mve_filter": "exclude", "limit": 1000}
    ).json()["markets"]
    elsewhere = next(
        each
        for each in markets
        if each["exchange_index"] != 0 and "0.1500" < each["yes_bid_dollars"] < each["yes_ask_dollars"] < "0.8500"
    )
    intent = trader.executor.decide(resting(elsewhere, elsewhere["yes_bid_dollars"], 300)).intent
    assert intent is not None
    assert intent.order_id is not None
    transport, order_id = floor.transport(trader.settings), OrderId(intent.order_id)
    ticker = MarketTicker(intent.ticker)
    for _ in range(2):
        transport.decrease(order_id, ticker, Contracts(100))
        assert order_of(floor, intent.order_id)["remaining_count_fp"] == "1.00"
    assert transport.cancel(order_id, ticker).status == 200
    assert order_of(floor, intent.order_id)["status"] == "canceled"
    journal_engine.dispose()


def test_F37_no_batch_can_be_written() -> None:
    assert [write for write in Write if "batch" in write.value.path] == []


def test_F58_the_limit_of_an_order_group_is_no_cap(floor: Floor, sqlite_journal_url: str) -> None:
    journal_engine = open_journal(sqlite_journal_url)
    trader = live_trader(floor, ready_journal(journal_engine), session_loss_dollars=1)
    market = floor.tradable()
    before = len(floor.orders_on_exchange())
    decision = trader.executor.decide(resting(market, market["yes_bid_dollars"], 900))
    assert GROUP_CONTRACTS > 9
    assert (decision.outcome, decision.reason) == (Outcome.DENIED, DenialReason.CAP_WORST_LOSS)
    assert len(floor.orders_on_exchange()) == before
    journal_engine.dispose()

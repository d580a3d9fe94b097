"""Rows that the exchange lists are read exactly or raise an error. Each list is requested with the right filters."""

import datetime as dt
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from kalshi_pipelines.execution.journal.records import Fill
from kalshi_pipelines.execution.orders.evidence import (
    ExchangeOrder,
    Holding,
    OrderStatus,
    OrderSweep,
    Settlement,
    combine_digests,
)
from kalshi_pipelines.execution.orders.terms import Side
from kalshi_pipelines.execution.reconciliation.account import ExchangeAccount, UnreadableAccount
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import NotFound, RequestLine, VendorError
from kalshi_pipelines.kalshi.portfolio import Rows
from kalshi_pipelines.kalshi.portfolio_records import FillRecord, OrderRecord, PositionRecord, SettlementRecord
from kalshi_pipelines.units import microseconds

NOW = dt.datetime(2026, 11, 23, 17, tzinfo=dt.UTC)
NOW_US = microseconds(NOW)
LATER = NOW + dt.timedelta(seconds=1)
SINCE = NOW_US // 1_000_000 - 5
ORDER = OrderRecord(
    order_id="o1", client_order_id="c1", ticker="KXA-26-B", book_side="ask", status="resting",
    yes_price_dollars="0.5610", fill_count_fp="1.00", remaining_count_fp="2.00", initial_count_fp="3.00",
    taker_fees_dollars="0", maker_fees_dollars="0", created_time=NOW, last_update_time=LATER,
    order_group_id="", subaccount_number=3,
)  # fmt: skip
FILL = FillRecord(
    fill_id="f1", order_id="o1", ticker="KXA-26-B", book_side="bid", count_fp="0.50", yes_price_dollars="0.5610",
    is_taker=True, fee_cost="0.0175", created_time=NOW,
)  # fmt: skip
PAID = SettlementRecord("KXA-26-B", "KXA-26", "yes", NOW, "0", 0)


@dataclass
class _Exchange:
    """A stand-in for the exchange's client, with rows for each list."""

    lists: dict[str, list[Any]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        def read(subaccount: int, **asked: Any) -> Rows[Any]:
            assert subaccount == 3
            self.asked.append((name, asked))
            which = name + (" past" if asked.get("past") else " resting" if asked.get("status") else "")
            return Rows(self.lists.get(which, []), 2, which)

        return read

    def user_data_timestamp_us(self) -> int:
        self.asked.append(("now", {}))
        return 0

    def market(self, ticker: str) -> Any:
        if ticker == "KXA-26-B":
            return SimpleNamespace(event_ticker="its event")
        raise NotFound(RequestLine(f"/markets/{ticker}"), 404, VendorError())

    def account(self) -> ExchangeAccount:
        client = SimpleNamespace(portfolio=self, market=self.market, clock_difference_ms=-7)
        return ExchangeAccount(cast("KalshiClient", client), 3)


def _changed(row: Any, **changes: Any) -> Any:
    return msgspec.structs.replace(row, **changes)


def test_clock_is_compared_with_a_fresh_answer() -> None:
    exchange = _Exchange()
    assert exchange.account().clock_difference_ms() == -7
    assert exchange.asked == [("now", {})]


def test_orders_are_the_resting_and_recent_ones_of_our_sub_account() -> None:
    exchange = _Exchange(
        {
            "orders resting": [ORDER, _changed(ORDER, order_id="theirs", subaccount_number=4)],
            "orders": [_changed(ORDER, order_id="o2", last_update_time=None, order_group_id="g")],
            "orders past": [_changed(ORDER, order_id="o3", last_update_time=None, created_time=None)],
        }
    )
    sweep = exchange.account().orders(NOW_US, "KXA-26-B")
    assert exchange.asked == [
        ("orders", {"ticker": "KXA-26-B", "status": "resting"}),
        ("orders", {"ticker": "KXA-26-B", "min_ts": SINCE}),
        ("orders", {"ticker": "KXA-26-B", "min_ts": SINCE, "past": True}),
    ]
    first = ExchangeOrder(
        "o1", "c1", "KXA-26-B", Side.ASK, 5_610, 300, 100, 200, OrderStatus.RESTING, None, NOW_US + 1_000_000, NOW_US
    )
    assert sweep.orders["o1"] == first
    assert {key: (order.order_group_id, order.updated_us, order.placed_us) for key, order in sweep.orders.items()} == {
        "o1": (None, NOW_US + 1_000_000, NOW_US),
        "o2": ("g", NOW_US, NOW_US),
        "o3": (None, 0, 0),
    }
    digests = combine_digests(["orders resting", "orders", "orders past"])
    assert (sweep.pages, sweep.pages_sha256) == (6, digests)
    assert isinstance(exchange.account().orders(NOW_US), OrderSweep)
    with pytest.raises(UnreadableAccount, match="asked for orders of KXA-26-C and answered with 'KXA-26-B'"):
        exchange.account().orders(NOW_US, "KXA-26-C")
    exchange.account().orders(1)
    assert exchange.asked[-1][1]["min_ts"] == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"book_side": "yes"},
        {"status": "pending"},
        {"yes_price_dollars": "0.56105"},
        {"yes_price_dollars": "x"},
        {"fill_count_fp": "1.001"},
        {"remaining_count_fp": ""},
        {"initial_count_fp": "many"},
    ],
)
def test_order_that_cannot_be_read_exactly_is_an_error(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableAccount, match="A row of the account cannot be read"):
        _Exchange({"orders": [_changed(ORDER, **changes)]}).account().orders(NOW_US)


UNSTORABLE = ["", "x" * 201, "KX\0A", "KX\ud800", "KX\x1b[2J", "KX\u202e"]


@pytest.mark.parametrize("text", UNSTORABLE)
@pytest.mark.parametrize("name", ["order_id", "ticker", "client_order_id"])
def test_text_that_cannot_be_stored_makes_the_account_unreadable(name: str, text: str) -> None:
    read = _Exchange({"orders": [_changed(ORDER, **{name: text})]}).account()
    if (name, text) == ("client_order_id", ""):
        assert read.orders(NOW_US).orders["o1"].client_order_id == ""
        return
    with pytest.raises(UnreadableAccount, match="is empty, too long or not printable") as failed:
        read.orders(NOW_US)
    assert str(failed.value).isascii()


@pytest.mark.parametrize("text", UNSTORABLE)
def test_fills_positions_and_settlements_need_storable_texts(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    for name in ("fill_id", "order_id", "ticker"):
        with pytest.raises(UnreadableAccount):
            _Exchange({"fills": [_changed(FILL, **{name: text})]}).account().fills(NOW_US)
    with pytest.raises(UnreadableAccount):
        _Exchange({"positions": [PositionRecord(text, "1.00", "1", "0", "0")]}).account().holdings()
    for name in ("ticker", "event_ticker"):
        with pytest.raises(UnreadableAccount):
            _Exchange({"settlements": [_changed(PAID, **{name: text})]}).account().settlements(NOW_US)
    monkeypatch.setattr(_Exchange, "market", lambda *_: SimpleNamespace(event_ticker=text))
    with pytest.raises(UnreadableAccount):
        _Exchange().account().event_of("KXA-26-B")


BILLION = "1000000000.00"
HELD = PositionRecord("KXA-26-A", "1.00", "1", "0", "0")


@pytest.mark.parametrize(
    ("which", "row", "name", "most", "beyond"),
    [
        ("orders", ORDER, "initial_count_fp", BILLION, "1000000000.01"),
        ("orders", ORDER, "fill_count_fp", "0.00", "-0.01"),
        ("orders", ORDER, "remaining_count_fp", BILLION, "1000000000.01"),
        ("orders", ORDER, "yes_price_dollars", "1.0000", "1.0001"),
        ("orders", ORDER, "yes_price_dollars", "0.0000", "-0.0001"),
        ("fills", FILL, "count_fp", "0.01", "0.00"),
        ("fills", FILL, "count_fp", BILLION, "1000000000.01"),
        ("fills", FILL, "yes_price_dollars", "1.0000", "1.0001"),
        ("fills", FILL, "fee_cost", BILLION, "1000000000.000001"),
        ("positions", HELD, "position_fp", BILLION, "1000000000.01"),
        (
            "positions",
            PositionRecord("KXA-26-A", "1.00", "1", "0", "0"),
            "position_fp",
            f"-{BILLION}",
            "-1000000000.01",
        ),
        ("positions", HELD, "market_exposure_dollars", BILLION, "9" * 20),
        ("settlements", _changed(PAID, market_result="scalar"), "value", 100, 101),
        ("settlements", _changed(PAID, market_result="scalar"), "value", 0, -1),
    ],
)
def test_numbers_that_are_too_large_make_the_account_unreadable(
    which: str, row: Any, name: str, most: object, beyond: object
) -> None:
    def read(value: object) -> None:
        account = _Exchange({which: [_changed(row, **{name: value})]}).account()
        if which == "positions":
            account.holdings()
        else:
            getattr(account, which)(NOW_US)

    read(most)
    with pytest.raises(UnreadableAccount, match="not from"):
        read(beyond)


def test_fills_are_returned_once_and_oldest_first() -> None:
    exchange = _Exchange(
        {
            "fills": [
                _changed(FILL, fill_id="f2", created_time=LATER),
                FILL,
                _changed(FILL, fill_id="f9", subaccount_number=4),
            ],
            "fills past": [_changed(FILL, fill_id="f0"), FILL],
        }
    )
    assert [fill.fill_id for fill in exchange.account().fills(NOW_US)] == ["f0", "f1", "f2"]
    assert exchange.account().fills(NOW_US)[1] == Fill("f1", "o1", "KXA-26-B", Side.BID, 5_610, 50, 17_500, NOW_US)
    assert exchange.asked[:2] == [("fills", {"min_ts": SINCE}), ("fills", {"min_ts": SINCE, "past": True})]
    for changes in ({"book_side": "no"}, {"fee_cost": "free"}, {"count_fp": "x"}, {"yes_price_dollars": "0.00001"}):
        with pytest.raises(UnreadableAccount):
            _Exchange({"fills": [_changed(FILL, **changes)]}).account().fills(NOW_US)


def test_holdings_are_the_positions_other_than_0() -> None:
    rows = [
        PositionRecord("KXA-26-A", "2.50", "1.25", "0", "0"),
        PositionRecord("KXA-26-B", "0.00", "0", "0", "0"),
        PositionRecord("KXA-26-C", "-1.00", "0.40", "0", "0"),
    ]
    held = _Exchange({"positions": rows}).account().holdings()
    assert held == {
        "KXA-26-A": Holding("KXA-26-A", 250, 1_250_000),
        "KXA-26-C": Holding("KXA-26-C", -100, 400_000),
    }
    assert [each.spent_microdollars for each in held.values()] == [1_250_000, 400_000 - 1_000_000]
    with pytest.raises(UnreadableAccount):
        _Exchange({"positions": [PositionRecord("KXA-26-A", "x", "1", "0", "0")]}).account().holdings()


@pytest.mark.parametrize(
    ("result", "value", "payoff"), [("yes", None, 10_000), ("no", 7, 0), ("scalar", 37, 3_700), ("scalar", None, None)]
)
def test_settlement_has_the_payout_of_one_yes(result: str, value: int | None, payoff: int | None) -> None:
    later = _changed(PAID, settled_time=LATER)
    exchange = _Exchange({"settlements": [later, _changed(PAID, market_result=result, value=value)]})
    if payoff is None:
        with pytest.raises(UnreadableAccount, match="KXA-26-B does not state the payout of a YES"):
            exchange.account().settlements(NOW_US)
        return
    settled = exchange.account().settlements(NOW_US)
    assert settled[0] == Settlement("KXA-26-B", "KXA-26", payoff, NOW_US)
    assert [each.dedupe for each in settled] == [f"KXA-26-B:{NOW_US}", f"KXA-26-B:{NOW_US + 1_000_000}"]
    assert exchange.asked == [("settlements", {"min_ts": SINCE})]


def test_event_of_an_archived_market_is_derived_from_its_ticker() -> None:
    account = _Exchange().account()
    settled = [account.event_of(ticker) for ticker in ("KXA-26-B", "KXGONE-26-B", "KXGONE")]
    assert settled == ["its event", "KXGONE-26", "KXGONE"]

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines.sandbox.state_file import read_truth
from kalshi_pipelines.sandbox.trading.events import AnyEvent, MemberJoined, MoneyMoved
from kalshi_pipelines.sandbox.trading.log import TruthLog, event_of, line_of
from kalshi_pipelines.sandbox.trading.state import TradingState
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.trader import SandboxTrader, quoted_market

OPTIONS = SandboxOptions(markets=100, combos=5, tier="unlimited", warm=False)


class _Lines:
    def __init__(self) -> None:
        self.written: list[bytes] = []

    def write(self, lines: bytes, /) -> None:
        self.written.append(lines)


def _truth(sandbox: LocalSandbox, **query: Any) -> Any:
    return sandbox.client.get("/sandbox/truth", params=query).json()


def test_an_event_survives_its_line_and_keeps_its_number() -> None:
    event = MoneyMoved(at_us=5, member="a \n line", subaccount=0, shard=1, amount=-7)
    line = line_of(3, event)
    assert line.count(b"\n") == 1
    assert event_of(line, 3) == event
    assert json.loads(line)["sequence"] == 3
    for number in (2, 33):
        with pytest.raises(ValueError, match="was expected here"):
            event_of(line, number)


def test_a_line_that_is_no_event_is_refused() -> None:
    for line in (b'{"sequence":1,"event":"Nonsense"}', b'{"sequence":1,', b'{"sequence":1,"event":"MemberJoined"}'):
        with pytest.raises(ValueError, match=r"."):
            event_of(line, 1)


def test_a_flush_hands_over_each_event_once() -> None:
    sink = _Lines()
    log = TruthLog([MemberJoined(at_us=1, member="old", balance_step=1)], sink)
    log.flush()
    assert sink.written == []
    for amount in (1, 2):
        log.append(MoneyMoved(at_us=2, member="old", subaccount=0, shard=0, amount=amount))
    log.flush()
    log.flush()
    assert [json.loads(line)["sequence"] for line in b"".join(sink.written).splitlines()] == [2, 3]
    assert len(sink.written) == 1


def test_the_truth_route_shows_everything_in_order_and_from_any_number_on() -> None:
    sandbox = local_sandbox(OPTIONS)
    with sandbox.client:
        ticker = quoted_market(sandbox)
        trader = SandboxTrader(sandbox.exchange.venue)
        order = trader.rest(ticker, "bid", 100, 500)
        shown = _truth(sandbox)
        assert shown["last"] == len(shown["events"]) == len(sandbox.exchange.log.events)
        assert [event["sequence"] for event in shown["events"]] == list(range(1, shown["last"] + 1))
        assert shown["events"][-1] == {
            "sequence": shown["last"],
            "event": "OrderRested",
            "at_us": order.created_us,
            "order_id": order.order_id,
        }
        later = _truth(sandbox, after=shown["last"] - 2)
        assert later["events"] == shown["events"][-2:]
        assert _truth(sandbox, after=3, limit=2)["events"] == shown["events"][3:5]
        assert _truth(sandbox, after=10**6)["events"] == []
        assert sandbox.client.get("/sandbox/truth?after=x").status_code == 400


def test_the_truth_replays_to_the_state_it_came_from() -> None:
    sandbox = local_sandbox(OPTIONS)
    with sandbox.client:
        ticker = quoted_market(sandbox)
        trader = SandboxTrader(sandbox.exchange.venue)
        trader.rest(ticker, "bid", 100, 500)
        trader.place(ticker, "bid", 9_900, 100, time_in_force="immediate_or_cancel")
        state = TradingState()
        for entry in _truth(sandbox)["events"]:
            state.apply(msgspec.convert(entry, AnyEvent))
        real = sandbox.exchange.venue.state
        assert state.cash == real.cash
        assert state.reserved == real.reserved
        assert [fill.fill_id for fill in state.fills_of["me"]] == [fill.fill_id for fill in real.fills_of["me"]] != []


def test_the_file_holds_the_truth_before_an_answer_leaves(tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    sandbox = local_sandbox(SandboxOptions(markets=20, combos=2, warm=False, state=file))
    with sandbox.client:
        sandbox.steer("POST", "/members", member="ann", deposit=5)
        assert read_truth(file) == sandbox.exchange.log.events
        sandbox.steer("POST", "/deposits", member="ann", dollars="0.000001", exchange_index=3)
        assert read_truth(file)[-1] == sandbox.exchange.log.events[-1]
        assert sandbox.exchange.venue.state.cash["ann", 0, 3] == 5_000_001
    sandbox.exchange.close()

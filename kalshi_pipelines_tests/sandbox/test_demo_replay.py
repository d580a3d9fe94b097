"""Replay of all requests recorded on the demo environment in June 2026 against a sandbox in the same situation.

Statuses, error codes, body shapes, order states and amounts must equal the recording. The only exceptions are the
differences listed in this module. A table in the documentation lists them too.
"""

import base64
import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kalshi_pipelines import units
from kalshi_pipelines.sandbox.access.signatures import public_pem
from kalshi_pipelines.sandbox.app import sandbox_app
from kalshi_pipelines.sandbox.clock import ExchangeClock, ManualClock
from kalshi_pipelines.sandbox.markets.recordings import API_ROOT
from kalshi_pipelines.sandbox.options import SandboxOptions, exchange_of
from kalshi_pipelines_tests.support.checkout import DOCS, RECORDINGS
from kalshi_pipelines_tests.support.sandbox.local_sandbox import LocalSandbox, in_this_thread

FOLDER = RECORDINGS / "demo_2026_06"
DOCUMENTATION = DOCS / "sandbox_trading.md"
TICKER = "KXWTACHALLENGERMATCH-26JUN11JIMLEP-LEP"
KEY_ID = "00000000-0000-4000-8000-00000000000d"
BEFORE_US = units.microseconds(dt.datetime(2026, 6, 11, 6, 0, tzinfo=dt.UTC))
LAG_MS = 1_000
SKEWS_MS = {"minus5s": -5_000, "plus5s": 5_000, "minus30s": -30_000, "minus5min": -300_000, "plus5min": 300_000}
UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
EPOCH = re.compile(r"ts|ts_ms|updated_ts")

GONE = {"error.service", "market_positions.resting_orders_count"}
"""JSON members that the exchange has dropped since the recording."""
NEW = {
    "fills.exchange_index", "market_positions.exchange_index", "order.exchange_index", "orders.exchange_index",
"exchange_index_statuses",
    "intra_exchange_transfers_active", "orders.self_trade_prevention_type",
}  # fmt: skip
"""JSON members that the exchange has added since the recording."""
OTHER_VALUES = {
    "read.bucket_capacity", "endpoint_costs", "balance_breakdown", "market.open_interest_fp", "market.volume_24h_fp",
    "market.volume_fp",
}  # fmt: skip
"""JSON members whose values may differ from the recording, because the exchange changed them or the sandbox computes
its own.
"""
REFUSED_NOW = {"orders__legacy_create": 410, "orders__legacy_cancel": 410}
"""Requests that the exchange has stopped accepting since the recording, with the HTTP status of the refusal."""


@dataclass
class RecordedExchange:
    """One recorded request and its response."""

    name: str
    request: dict[str, Any]
    body: Any

    @property
    def at_us(self) -> int:
        return int(self.request["recorded_at_epoch_ms"]) * 1_000


def _recorded() -> list[RecordedExchange]:
    found = []
    for meta in sorted(FOLDER.glob("*.meta.json")):
        request = json.loads(meta.read_text("utf-8"))
        if request.get("recorded_at_epoch_ms") is not None:
            name = meta.name.removesuffix(".meta.json")
            found.append(RecordedExchange(name, request, json.loads(meta.with_name(f"{name}.json").read_text("utf-8"))))
    return sorted(found, key=lambda each: each.at_us)


@dataclass
class Stage:
    """A sandbox in the same situation as the recorded exchange.

    ``ids`` maps recorded order ids to order ids in the sandbox.
    """

    sandbox: LocalSandbox
    key: Ed25519PrivateKey
    ids: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.recordings = self.sandbox.exchange.replay

    def send(self, recorded: RecordedExchange) -> Any:
        """Send a recorded request to the sandbox at its recorded time, and return the sandbox's response."""
        self.sandbox.time.microseconds = recorded.at_us
        path = self._ours(recorded.request["path"])
        body = recorded.request.get("request_body")
        content = None if body is None else json.dumps(body)
        headers = self._headers(recorded, path) | ({} if content is None else {"Content-Type": "application/json"})
        return self.sandbox.client.request(recorded.request["method"], path, content=content, headers=headers)

    def _ours(self, path: str) -> str:
        return UUID.sub(lambda match: self.ids.get(match.group(), match.group()), path)

    def _headers(self, recorded: RecordedExchange, path: str) -> dict[str, str]:
        kind = recorded.request["auth"]
        if kind == "unauthenticated":
            return {}
        skew = SKEWS_MS[recorded.name.removeprefix("auth__skew_")] if kind == "signed-skewed" else 0
        timestamp = str(recorded.request["recorded_at_epoch_ms"] + skew)
        signed = "/another/path" if kind == "bad-signature" else path.partition("?")[0]
        signature = self.key.sign(f"{timestamp}{recorded.request['method']}{signed}".encode())
        headers = {
            "KALSHI-ACCESS-KEY": "0" * 8 + "-0000-0000-0000-" + "0" * 12 if kind == "unknown-key-id" else KEY_ID,
            "KALSHI-ACCESS-TIMESTAMP": timestamp,
            "KALSHI-ACCESS-SIGNATURE": base64.b64encode(signature).decode(),
        }
        if kind == "missing-signature-header":
            del headers["KALSHI-ACCESS-SIGNATURE"]
        return headers

    def keep_only_list_recordings(self, recorded: RecordedExchange) -> None:
        """Let the sandbox answer a request for a list of markets with its recording, but compute every other answer.

        A computed list would also contain the markets that were recorded later.
        """
        is_list = recorded.request["path"].startswith(f"{API_ROOT}/markets?") and recorded.request["status"] == 200
        self.sandbox.exchange.replay = self.recordings if is_list else None

    def place_for_others(self, side: str, price: str, count: str = "3.00") -> None:
        self.sandbox.steer("POST", f"/markets/{TICKER}/orders", side=side, price=price, count=count)

    def clear(self) -> None:
        self.sandbox.steer("POST", f"/markets/{TICKER}/clear_book")


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    if not FOLDER.is_dir():
        pytest.skip("the recorded responses are not on this machine")
    time = ManualClock(BEFORE_US)
    options = SandboxOptions(recordings=FOLDER, balance=0, tier="basic", read_lag_ms=LAG_MS)
    exchange = exchange_of(options, ExchangeClock(time))
    # Balances were recorded every half second. The exchange later gave balance reads their own bucket of one read per
    # second. Let the clock of the buckets run ten times as fast.
    exchange.limits.monotonic_ns = lambda: time.microseconds * 10_000
    with in_this_thread(sandbox_app(exchange)) as client:
        stage = Stage(LocalSandbox(exchange, time, client), Ed25519PrivateKey.generate())
        pem = public_pem(stage.key.public_key())
        stage.sandbox.steer("POST", "/keys", key_id=KEY_ID, public_key_pem=pem)
        stage.sandbox.steer("POST", "/deposits", shard=0, dollars="100")
        _replay_earlier_orders(stage)
        yield stage


def _replay_earlier_orders(stage: Stage) -> None:
    """Place and cancel orders of a recorded list that are older than the first recorded request.

    Orders of other traders match these orders.
    """
    recorded = json.loads((FOLDER / "portfolio__orders_list.json").read_text("utf-8"))["orders"]
    first = min(each.at_us for each in _recorded())
    earlier = [order for order in recorded if units.microseconds(_instant(order["created_time"])) < first]
    acts = [(str(order["created_time"]), _create, order) for order in earlier]
    acts += [(str(order["last_update_time"]), _cancel, order) for order in earlier if order["status"] == "canceled"]
    stage.clear()
    for instant, act, order in sorted(acts, key=lambda each: each[0]):
        act(stage, order, units.microseconds(_instant(instant)))
    stage.clear()
    for side, price in (("bid", "0.4700"), ("ask", "0.5200")):
        stage.place_for_others(side, price)


def _create(stage: Stage, order: dict[str, Any], at_us: int) -> None:
    executed = order["status"] == "executed"
    lapsed = order["status"] == "canceled" and order["last_update_time"] == order["created_time"]
    met_own = lapsed and order["book_side"] == "ask"
    stage.sandbox.time.microseconds = at_us // 1_000 * 1_000
    if executed or (lapsed and not met_own):
        stage.place_for_others("ask", order["yes_price_dollars"], order["initial_count_fp"])
    terms = {
        "ticker": order["ticker"], "side": order["book_side"], "count": order["initial_count_fp"],
        "price": order["yes_price_dollars"], "client_order_id": order["client_order_id"],
        "self_trade_prevention_type": order.get("self_trade_prevention_type", "taker_at_cross"),
        "time_in_force": "immediate_or_cancel" if executed or met_own else "good_till_canceled",
        "post_only": lapsed and not met_own,
    }  # fmt: skip
    _request(stage, "POST", f"{API_ROOT}/portfolio/events/orders", at_us, terms)
    used = stage.sandbox.exchange.venue.state.members["default-member"].client_order_ids
    stage.ids[order["order_id"]] = used[order["client_order_id"]]


def _cancel(stage: Stage, order: dict[str, Any], at_us: int) -> None:
    if order["last_update_time"] != order["created_time"]:
        path = f"{API_ROOT}/portfolio/events/orders/{stage.ids[order['order_id']]}"
        _request(stage, "DELETE", path, at_us, None)


def _request(stage: Stage, method: str, path: str, at_us: int, body: dict[str, Any] | None) -> None:
    request = {
        "auth": "signed", "method": method, "path": path, "recorded_at_epoch_ms": at_us // 1_000, "request_body": body,
    }  # fmt: skip
    answer = stage.send(RecordedExchange("earlier", request, None))
    assert answer.is_success or "post only cross" in answer.text, answer.text


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def test_every_recorded_exchange_is_answered_as_it_was(stage: Stage) -> None:
    replayed = _recorded()
    assert len(replayed) == 56
    problems: list[str] = []
    seen: set[str] = set()
    for recorded in replayed:
        stage.keep_only_list_recordings(recorded)
        answer = stage.send(recorded)
        wanted = REFUSED_NOW.get(recorded.name, recorded.request["status"])
        if answer.status_code != wanted:
            problems.append(f"{recorded.name}: {answer.status_code} instead of {wanted}: {answer.text[:200]}")
            continue
        body = answer.json()
        if recorded.name in REFUSED_NOW:
            continue
        _learn(stage, recorded.body, body)
        for listed, problem in _differences(recorded.body, body, "", stage.ids):
            if listed:
                seen.add(problem)
            else:
                problems.append(f"{recorded.name}: {problem}")
    assert not problems, "\n".join(problems)
    assert seen == GONE | NEW | OTHER_VALUES, "a listed difference that is none is no longer to be listed"


def _learn(stage: Stage, recorded: Any, ours: Any) -> None:
    if isinstance(recorded, dict) and "order_id" in recorded and "ts_ms" in recorded:
        stage.ids.setdefault(recorded["order_id"], ours["order_id"])


def _differences(recorded: Any, ours: Any, path: str, ids: dict[str, str]) -> Iterator[tuple[bool, str]]:
    """Compare a recorded response body with the sandbox's body.

    Yield the JSON path of each expected difference, and a description of any other difference.

    ``ids`` translates order ids. Instants and most other identifiers count as equal even if they differ.
    """
    if path in OTHER_VALUES:
        yield (True, path) if type(recorded) is type(ours) else (False, f"{path} is of another type")
    elif isinstance(recorded, dict) and isinstance(ours, dict):
        for name in sorted(recorded.keys() | ours.keys()):
            place = f"{path}.{name}".removeprefix(".")
            if name not in ours:
                yield (True, place) if place in GONE else (False, f"{place} is missing")
            elif name not in recorded:
                yield (True, place) if place in NEW else (False, f"{place} is new: {ours[name]!r}")
            else:
                yield from _differences(recorded[name], ours[name], place, ids)
    elif isinstance(recorded, list) and isinstance(ours, list):
        if len(recorded) != len(ours):
            yield False, f"{path} has {len(ours)} elements instead of {len(recorded)}"
        for left, right in zip(recorded, ours, strict=False):
            yield from _differences(left, right, path, ids)
    elif _comparable(recorded, path, ids) != _comparable(ours, path, {}):
        yield False, f"{path} is {ours!r} instead of {recorded!r}"


def _comparable(value: Any, path: str, ids: dict[str, str]) -> Any:
    if isinstance(value, str) and UUID.fullmatch(value) and path.rpartition(".")[2] != "client_order_id":
        return ids.get(value, value) if path.endswith("order_id") else "an identifier"
    if isinstance(value, str) and INSTANT.fullmatch(value) and not path.startswith(("market.", "markets.")):
        return "an instant"
    if EPOCH.fullmatch(path.rpartition(".")[2]) and isinstance(value, int):
        return "seconds or milliseconds", len(str(value))
    return value


def test_the_documentation_lists_every_difference() -> None:
    table = DOCUMENTATION.read_text("utf-8")
    for difference in (*GONE, *NEW, *OTHER_VALUES):
        assert f"`{difference.rpartition('.')[2]}`" in table
    assert "POST /portfolio/orders" in table

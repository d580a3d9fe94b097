"""Frames of one real market, recorded from the exchange's WebSocket on 2026-08-10, as trades and as an orderbook."""

import csv
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final, NamedTuple

from msgspec import Raw

from kalshi_pipelines.units import instant
from kalshi_pipelines_tests.support.checkout import RECORDINGS

FOLDER: Final = RECORDINGS / "websocket"
MARKET: Final = "KXGOLD15M-26AUG101900-00"
FRAMES: Final = FOLDER / f"gold_ws_{MARKET}.ndjson.gz"
RECORD: Final = FOLDER / f"gold_{MARKET.removesuffix('-00')}.json"
MANIFEST: Final = FOLDER / "gold_manifest.csv"
INDEX: Final = FOLDER / "index.json"


class Frame(NamedTuple):
    """A frame: its type, its body, and the time at which it was received, in milliseconds."""

    kind: str
    body: dict[str, Any]
    received_ms: int


def frames() -> Iterator[Frame]:
    """Yield the recorded frames in their order."""
    with gzip.open(FRAMES, "rt") as lines:
        for line in lines:
            received = json.loads(line)
            yield Frame(received["event"]["type"], received["event"]["msg"], received["recv_ms"])


def market_record() -> dict[str, Any]:
    """Return the market's REST record, read after its settlement."""
    (market,) = json.loads(RECORD.read_text())["response"]["markets"]
    return dict(market)


def manifest_row() -> dict[str, str]:
    """Return the row about the frames in the recorder's manifest."""
    with MANIFEST.open() as lines:
        (row,) = [each for each in csv.DictReader(lines) if each["window"] == MARKET and each["events"]]
    return row


def raw_trades_of(trades: Iterable[Frame]) -> list[Raw]:
    """Return frames of trades as records of the REST feed. Frames have milliseconds, and do not mark blocks yet."""
    return [Raw(json.dumps(_as_rest(frame.body)).encode()) for frame in trades]


def _as_rest(body: dict[str, Any]) -> dict[str, Any]:
    same = ("trade_id", "count_fp", "yes_price_dollars", "no_price_dollars", "taker_outcome_side", "taker_book_side")
    time = f"{instant(body['ts_ms'] * 1_000):%Y-%m-%dT%H:%M:%S.%fZ}"
    return {
        **{name: body[name] for name in (*same, "taker_side")},
        "ticker": body["market_ticker"],
        "created_time": time,
        "is_block_trade": False,
    }


class Change(NamedTuple):
    """A change of a price level: its time, its side, the price on that side, and the contracts added or removed."""

    time_ms: int
    side: str
    price: str
    contracts: Decimal


@dataclass
class ReplayedBook:
    """The orderbook after some frames: contracts by price for each side."""

    levels: dict[str, dict[Decimal, Decimal]] = field(default_factory=lambda: {"yes": {}, "no": {}})
    changes: Counter[Change] = field(default_factory=Counter)

    def apply(self, frame: Frame) -> None:
        """Apply a snapshot or a change. A level that would have fewer than 0 contracts is an error."""
        if frame.kind == "orderbook_snapshot":
            self.levels = {
                side: {Decimal(price): Decimal(count) for price, count in frame.body.get(f"{side}_dollars_fp", [])}
                for side in ("yes", "no")
            }
        if frame.kind != "orderbook_delta":
            return
        body, level = frame.body, self.levels[frame.body["side"]]
        price, change = Decimal(body["price_dollars"]), Decimal(body["delta_fp"])
        self.changes[Change(body["ts_ms"], body["side"], body["price_dollars"], change)] += 1
        left = level.pop(price, Decimal(0)) + change
        assert left >= 0, f"{body['side']} {price} would have {left} contracts"
        if left:
            level[price] = left

    def best(self, side: str) -> Decimal:
        """Return the highest bid of a side, or 0 without a bid."""
        return max(self.levels[side], default=Decimal(0))

    def rows(self) -> list[tuple[str, Decimal, Decimal]]:
        """Return the levels as side, price and contracts, sorted as the lake sorts them."""
        return [(side, *level) for side in ("no", "yes") for level in sorted(self.levels[side].items())]

"""Series and events of the generated catalogue and their JSON.

Does not belong here: markets (``generated``), and deciding which series and events exist (``catalogue``). Source of the
JSON keys: ``Series`` and ``EventData`` in the vendor's OpenAPI document 3.34.0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import orjson

from kalshi_pipelines.sandbox.clock import PriceTime, rfc3339
from kalshi_pipelines.sandbox.markets.fee_changes import PlannedFees, change_id, in_force, wire_multiplier
from kalshi_pipelines.sandbox.markets.rows import EventRow, SeriesRow
from kalshi_pipelines.sandbox.markets.themes import PROHIBITIONS, SECONDARY_RULES, SOURCES, Theme
from kalshi_pipelines.sandbox.prices import count_text
from kalshi_pipelines.units import DAY_US, HOUR_US

_HALF, _ONE = Decimal("0.5"), Decimal(1)
#: Of this many events, one has fees of its own from its creation, or from shortly before its close.
_EVENTS_PER_OWN_FEES: Final = 41
_EVENTS_PER_LATE_FEES: Final = 9
ZERO_TIME = "0001-01-01T00:00:00Z"


class GeneratedSeries(SeriesRow):
    """A generated series. All its events belong to one theme, such as a sport, and to one subject, such as a team."""

    __slots__ = ("_changes", "_now_us", "_rules", "number", "subject", "theme", "title", "traded")

    def __init__(
        self, ticker: str, theme: Theme, subject: str, number: int, updated_us: int, time: PriceTime, anchor_us: int
    ) -> None:
        self.ticker = ticker
        self.theme = theme
        self.subject = subject
        self.number = number
        self.title = theme.title.format(subject)
        self.updated_us = updated_us
        self.categories = (
            (theme.category, "World") if number % 11 == 0 and theme.category != "World" else (theme.category,)
        )
        self.tags = theme.tags
        self.traded = 0
        self._rules: dict[int, str] = {}
        self._now_us = time.clock_us
        self._changes = tuple(self._planned_changes(anchor_us))

    @property
    def source(self) -> tuple[str, str]:
        """Name and address of the first settlement source of the series."""
        return SOURCES[self.number % len(SOURCES)]

    @property
    def fee_changes(self) -> Sequence[PlannedFees]:
        """Past and scheduled changes of the fees of the series, in the order of time."""
        return self._changes

    def fees_at(self, at_us: int) -> PlannedFees:
        """Return the fees of the series at an instant."""
        return in_force(self._changes, at_us) or PlannedFees("", 0, self.theme.fee_type, self.first_multiplier)

    @property
    def first_multiplier(self) -> Decimal:
        """Fee multiplier of the series where no change of its fees is in force."""
        return _HALF if self.number % 17 == 0 else _ONE

    def _planned_changes(self, anchor_us: int) -> Iterator[PlannedFees]:
        """Return the changes of some series: two in the past that end at the usual fees, or one in the future."""
        usual = self.first_multiplier
        other = _ONE if usual == _HALF else _HALF
        if self.number % 5 == 2:
            yield PlannedFees(change_id(self.number, 1), anchor_us - 200 * DAY_US, "quadratic", other)
            since_us = anchor_us - 30 * DAY_US + self.number % 24 * HOUR_US
            yield PlannedFees(change_id(self.number, 2), since_us, self.theme.fee_type, usual)
        if self.number % 13 == 5:
            since_us = anchor_us + 3 * DAY_US + self.number % 24 * HOUR_US
            yield PlannedFees(change_id(self.number, 3), since_us, self.theme.fee_type, other)

    def secondary_rules(self, paragraphs: int = len(SECONDARY_RULES)) -> str:
        """Return the first paragraphs of the secondary rules text, which all markets of the series share."""
        if paragraphs not in self._rules:
            text = "".join(SECONDARY_RULES[:paragraphs])
            self._rules[paragraphs] = text.format(title=self.title, source=self.source[0])
        return self._rules[paragraphs]

    def json(self, *, volume: bool, metadata: bool) -> bytes:
        """Return the series as a ``Series`` object.

        The traded volume and the product metadata are included on request.
        """
        code, fees = self.ticker.removeprefix("KX"), self.fees_at(self._now_us())
        body: dict[str, object] = {
            "additional_prohibitions": None if self.number % 29 == 0 else list(PROHIBITIONS),
            "categories": self.categories,
            "category": self.theme.category,
            "contract_terms_url": f"https://assets.example/contract_terms/{code}.pdf",
            "contract_url": f"https://assets.example/certifications/{code}.pdf",
            "exchange_index": self.theme.shard,
            "fee_multiplier": wire_multiplier(fees.multiplier),
            "fee_type": fees.fee_type,
            "frequency": self.theme.frequency,
            "last_updated_ts": rfc3339(self.updated_us),
            "settlement_sources": None if self.number % 31 == 0 else settlement_sources(self.number),
            "tags": list(self.tags) or None,
            "ticker": self.ticker,
            "title": self.title,
        }
        if volume:
            body["volume_fp"] = count_text(self.traded)
        if metadata and self.number % 3:
            body["product_metadata"] = {"scope": self.theme.shape.title()}
        return orjson.dumps(body)


def settlement_sources(number: int) -> list[dict[str, str]]:
    """Return one to three settlement sources for a series. ``number`` determines how many and which ones."""
    chosen = [SOURCES[(number + i) % len(SOURCES)] for i in range(1 + number % 3)]
    return [{"name": name, "url": url} for name, url in chosen]


@dataclass(frozen=True, slots=True)
class EventText:
    """Title and subtitle of an event."""

    title: str
    sub_title: str


class GeneratedEvent(EventRow):
    """An event of a generated series."""

    __slots__ = (
        "_changes", "_listed", "_listed_fees", "_now_us", "exclusive", "has_own_rules", "number", "paragraphs",
        "series", "text",
    )  # fmt: skip

    def __init__(
        self,
        ticker: str,
        series: GeneratedSeries,
        text: EventText,
        *,
        exclusive: bool,
        number: int,
        created_us: int,
        close_us: int,
        time: PriceTime,
        collection_ticker: str | None = None,
    ) -> None:
        self.ticker = ticker
        self.series = series
        self.series_ticker = series.ticker
        self.text = text
        self.exclusive = exclusive
        self.number = number
        self.updated_us = created_us + number % 1_000 * 60_000_000
        self.collection_ticker = collection_ticker
        self.is_combo = collection_ticker is not None
        self.sort_key = (-created_us, ticker)
        self._now_us = time.clock_us
        self._changes = tuple(self._planned_changes(created_us, close_us))
        self._listed: bytes | None = None
        self._listed_fees: PlannedFees | None = None
        self.has_own_rules = False
        self.paragraphs = len(SECONDARY_RULES)

    @property
    def secondary_rules(self) -> str:
        """Secondary rules text of the event's markets: the text of the series, in some events with a first sentence.

        An event can have fewer paragraphs of this text. The real exchange's texts have 530 characters on average.
        """
        shared = self.series.secondary_rules(self.paragraphs)
        if not self.has_own_rules:
            return shared
        return f"This market is about {self.text.title} ({self.text.sub_title}). {shared}"

    @property
    def shard(self) -> int:
        """Shard of the exchange on which the event's markets are traded."""
        return 1 if self.is_combo else self.series.theme.shard

    @property
    def fee_changes(self) -> Sequence[PlannedFees]:
        """Past and scheduled changes of the event's own fees, in the order of time."""
        return self._changes

    def fees_at(self, at_us: int) -> PlannedFees | None:
        """Return the event's own fees at an instant, or None if the fees of its series apply."""
        change = in_force(self._changes, at_us)
        return None if change is None or change.fee_type is None else change

    def _planned_changes(self, created_us: int, close_us: int) -> Iterator[PlannedFees]:
        """Return the changes of some events: own fees from the beginning, or only shortly before the close.

        On the real exchange, the fees of a baseball game change at its first pitch.
        """
        if self.number % _EVENTS_PER_OWN_FEES == 0:
            yield PlannedFees(change_id(-self.number, 1), created_us, "quadratic", _HALF)
        elif self.number % _EVENTS_PER_LATE_FEES == 4 and not self.is_combo:
            begins_us = max(created_us, close_us - 3 * HOUR_US)
            multiplier = _ONE if self.series.first_multiplier == _HALF else _HALF
            yield PlannedFees(change_id(-self.number, 1), begins_us, self.series.theme.fee_type, multiplier)
            if self.number // _EVENTS_PER_LATE_FEES % 2 == 0:
                yield PlannedFees(change_id(-self.number, 2), begins_us + HOUR_US, None, None)

    def members(self, *, alone: bool) -> bytes:
        """Return the event's ``EventData`` object without its braces and without its markets.

        ``alone`` is True for a read of this event alone, and False for a list of events.
        """
        fees = self.fees_at(self._now_us())
        if alone:
            # The real exchange fills last_updated_ts in lists only. In the read of a single event it sends the zero
            # time.
            return orjson.dumps(self._body(ZERO_TIME, fees))[1:-1]
        if self._listed is None or fees is not self._listed_fees:
            self._listed, self._listed_fees = orjson.dumps(self._body(rfc3339(self.updated_us), fees))[1:-1], fees
        return self._listed

    def _body(self, last_updated: str, fees: PlannedFees | None) -> dict[str, object]:
        body: dict[str, object] = {
            "category": self.series.theme.category,
            "collateral_return_type": "MECNET" if self.exclusive else ("DIRECNET" if self.number % 2 else ""),
            "event_ticker": self.ticker,
            "exchange_index": self.shard,
            "last_updated_ts": last_updated,
            "mutually_exclusive": self.exclusive,
            "series_ticker": self.series_ticker,
            "settlement_sources": [] if self.is_combo else settlement_sources(self.series.number),
            "sub_title": self.text.sub_title,
            "title": self.text.title,
        }
        if self.number % 4 == 0:
            body["product_metadata"] = {
                "competition": self.series.title,
                "competition_scope": self.series.theme.shape.title(),
            }
        if self.number % 9 == 0:
            body["strike_date"] = rfc3339(self.updated_us + DAY_US)
        if self.number % 5:
            body["strike_period"] = ""
        if fees is not None:
            body["fee_type_override"] = fees.fee_type
            body["fee_multiplier_override"] = wire_multiplier(fees.multiplier)
        return body

"""Series and events of the generated catalogue and their JSON.

Does not belong here: markets (``generated``), and deciding which series and events exist (``catalogue``). Source of the
JSON keys: ``Series`` and ``EventData`` in the vendor's OpenAPI document 3.34.0.
"""

from dataclasses import dataclass
from decimal import Decimal

import orjson

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.markets.rows import EventRow, SeriesRow
from kalshi_pipelines.sandbox.markets.themes import PROHIBITIONS, SECONDARY_RULES, SOURCES, Theme
from kalshi_pipelines.sandbox.prices import count_text
from kalshi_pipelines.units import DAY_US

_HALF, _ONE = Decimal("0.5"), Decimal(1)
ZERO_TIME = "0001-01-01T00:00:00Z"


class GeneratedSeries(SeriesRow):
    """A generated series. All its events belong to one theme, such as a sport, and to one subject, such as a team."""

    __slots__ = ("_rules", "number", "subject", "theme", "title", "traded")

    def __init__(self, ticker: str, theme: Theme, subject: str, number: int, updated_us: int) -> None:
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

    @property
    def source(self) -> tuple[str, str]:
        """Name and address of the first settlement source of the series."""
        return SOURCES[self.number % len(SOURCES)]

    @property
    def fee_type(self) -> str:
        """Fee type of the markets of the series."""
        return self.theme.fee_type

    @property
    def fee_multiplier(self) -> Decimal:
        """Fee multiplier of the markets of the series."""
        return _HALF if self.number % 17 == 0 else _ONE

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
        code = self.ticker.removeprefix("KX")
        body: dict[str, object] = {
            "additional_prohibitions": None if self.number % 29 == 0 else list(PROHIBITIONS),
            "categories": self.categories,
            "category": self.theme.category,
            "contract_terms_url": f"https://assets.example/contract_terms/{code}.pdf",
            "contract_url": f"https://assets.example/certifications/{code}.pdf",
            "exchange_index": self.theme.shard,
            "fee_multiplier": float(self.fee_multiplier) if self.fee_multiplier % 1 else int(self.fee_multiplier),
            "fee_type": self.fee_type,
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

    __slots__ = ("exclusive", "has_own_rules", "listed", "number", "paragraphs", "series", "text")

    def __init__(
        self,
        ticker: str,
        series: GeneratedSeries,
        text: EventText,
        *,
        exclusive: bool,
        number: int,
        created_us: int,
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
        self.listed: bytes | None = None
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
    def _has_own_fees(self) -> bool:
        return self.number % 41 == 0

    @property
    def fee_type_override(self) -> str | None:
        """Fee type of the event's markets if it differs from the fee type of the series, else None."""
        return "quadratic" if self._has_own_fees else None

    @property
    def fee_multiplier_override(self) -> Decimal | None:
        """Fee multiplier of the event's markets if it differs from the multiplier of the series, else None."""
        return _HALF if self._has_own_fees else None

    def members(self, *, alone: bool) -> bytes:
        """Return the event's ``EventData`` object without its braces and without its markets.

        ``alone`` is True for a read of this event alone, and False for a list of events.
        """
        if alone:
            # The real exchange fills last_updated_ts in lists only. In the read of a single event it sends the zero
            # time.
            return orjson.dumps(self._body(ZERO_TIME))[1:-1]
        if self.listed is None:
            self.listed = orjson.dumps(self._body(rfc3339(self.updated_us)))[1:-1]
        return self.listed

    def _body(self, last_updated: str) -> dict[str, object]:
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
        if self._has_own_fees:
            body["fee_type_override"] = self.fee_type_override
            body["fee_multiplier_override"] = float(_HALF)
        return body

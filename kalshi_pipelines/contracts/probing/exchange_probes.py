"""The probes that a contract run sends to the exchange: one plan for the sandbox, demo and production.

Probes take tickers and cursors from earlier answers of the same run.

Belongs here: the requests and their order. Does not belong here: sending requests (``probe_client``), other vendors
(``other_vendor_probes``), and judging answers (``comparison``).
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from kalshi_pipelines.contracts.declared.reading import number_at, text_at
from kalshi_pipelines.contracts.language.responses import VendorRequest
from kalshi_pipelines.units import SECOND_US

#: The parameter ``limit`` of list requests. With this limit, one request returns enough rows to show which values are
#: usual.
_ROWS: Final = "100"
_FEW_ROWS: Final = "20"
_DAY: Final = 86_400
_MOST_CANDLE_DAYS: Final = 30
_FEW_CANDLE_DAYS: Final = 4
#: Endpoints that the sandbox exchange lacks.
LACKING_IN_SANDBOX: Final = frozenset({"GET /search/tags_by_categories", "GET /milestones"})


@dataclass
class AnsweredBodies:
    """The decoded bodies of the answers in a run so far.

    Attributes:
        now_us: When the run began, in microseconds since 1970 UTC.
        bodies: Each decoded body by the name of its probe.
    """

    now_us: int
    bodies: dict[str, Any] = field(default_factory=dict)

    def rows(self, probe: str, key: str) -> list[dict[str, Any]]:
        """Return the objects of a list in the answer to a probe; empty if there is no such answer or list."""
        body = self.bodies.get(probe)
        found = body.get(key) if isinstance(body, dict) else None
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []

    def texts(self, probe: str, key: str, name: str) -> list[str]:
        """Return the texts at one key, from all objects of a list in the answer to a probe."""
        return [text for row in self.rows(probe, key) if isinstance(text := row.get(name), str) and text]


@dataclass(frozen=True)
class Probe:
    """One request of a contract run.

    Attributes:
        name: A name that distinguishes probes of the same endpoint.
        endpoint: The endpoint of the contract.
        make_request: Makes the request from earlier answers; returns ``None`` if they lack a needed value.
        needs: The value needed from earlier answers, for the report.
    """

    name: str
    endpoint: str
    make_request: Callable[[AnsweredBodies], VendorRequest | None]
    needs: str = ""


def _plain(
    endpoint: str, name: str = "", *, signed: bool = False, expects: tuple[int, ...] = (), **query: str
) -> Probe:
    request = VendorRequest(
        endpoint, query={key: (value,) for key, value in query.items()}, is_signed=signed, expects=expects
    )
    return Probe(name or endpoint, endpoint, lambda _: request)


def _for_one(endpoint: str, parameter: str, source: tuple[str, str, str], name: str = "", **query: str) -> Probe:
    def make_request(seen: AnsweredBodies) -> VendorRequest | None:
        found = seen.texts(*source)
        if not found:
            return None
        return VendorRequest(endpoint, {parameter: found[0]}, {key: (value,) for key, value in query.items()})

    return Probe(name or endpoint, endpoint, make_request, f"a {source[2]} of {source[0]}")


def _books(seen: AnsweredBodies) -> VendorRequest | None:
    tickers = tuple(seen.texts("open markets", "markets", "ticker")[:10])
    return VendorRequest("GET /markets/orderbooks", query={"tickers": tickers}) if tickers else None


def _second_page(seen: AnsweredBodies) -> VendorRequest | None:
    body = seen.bodies.get("open markets")
    cursor = body.get("cursor") if isinstance(body, dict) else None
    if not isinstance(cursor, str) or not cursor:
        return None
    query = {"limit": (_ROWS,), "mve_filter": ("exclude",), "status": ("open",), "cursor": (cursor,)}
    return VendorRequest("GET /markets", query=query)


def _series_of_category(seen: AnsweredBodies) -> VendorRequest | None:
    body = seen.bodies.get("GET /series/{series_ticker}")
    series = body.get("series") if isinstance(body, dict) else None
    category = series.get("category") if isinstance(series, dict) else None
    return (
        VendorRequest("GET /series", query={"category": (category,)})
        if isinstance(category, str) and category
        else None
    )


def _most_traded(seen: AnsweredBodies) -> dict[str, Any] | None:
    """Return the settled market with the largest volume, because a market that was never traded has no candles."""
    markets = seen.rows("settled markets", "markets")
    return max(markets, key=lambda market: number_at(market, "volume_fp") or 0, default=None)


def _settled_event(seen: AnsweredBodies) -> VendorRequest | None:
    event = text_at(_most_traded(seen), "event_ticker")
    return VendorRequest("GET /events/{event_ticker}", {"event_ticker": event}) if event else None


def _candles(seen: AnsweredBodies) -> VendorRequest | None:
    body = seen.bodies.get("settled event")
    event = body.get("event") if isinstance(body, dict) else None
    series = event.get("series_ticker") if isinstance(event, dict) else None
    market = _most_traded(seen)
    if market is None or not isinstance(series, str) or not series:
        return None
    opened, closed = (_second(market.get(name)) for name in ("open_time", "close_time"))
    end = closed or seen.now_us // SECOND_US
    start = max(opened or 0, end - _MOST_CANDLE_DAYS * _DAY)
    # A market with a short life is probed with hourly candles. Several candles are needed, because the checks compare
    # their order and their ends.
    minutes = "60" if end - start < _FEW_CANDLE_DAYS * _DAY else "1440"
    return VendorRequest(
        "GET /series/{series_ticker}/markets/{ticker}/candlesticks",
        {"series_ticker": series, "ticker": str(market.get("ticker"))},
        {"start_ts": (str(start),), "end_ts": (str(max(end, start + 1)),), "period_interval": (minutes,)},
    )


def _second(value: object) -> int | None:
    try:
        return int(dt.datetime.fromisoformat(str(value)).timestamp())
    except ValueError:
        return None


PUBLIC: Final[tuple[Probe, ...]] = (
    _plain("GET /exchange/status"),
    _plain("GET /exchange/schedule"),
    _plain("GET /exchange/user_data_timestamp"),
    _plain("GET /historical/cutoff"),
    _plain("GET /account/endpoint_costs"),
    _plain("GET /search/tags_by_categories"),
    # No asset stores milestones. They are probed because their path redirected to another path in October 2025.
    _plain("GET /milestones", limit=_FEW_ROWS),
    _plain("GET /events", limit=_FEW_ROWS, with_nested_markets="true", status="open"),
    _plain("GET /events/multivariate", limit=_FEW_ROWS),
    _plain("GET /markets", "open markets", limit=_ROWS, mve_filter="exclude", status="open"),
    Probe("second page", "GET /markets", _second_page, "a cursor of the first page"),
    _plain("GET /markets", "settled markets", limit=_ROWS, mve_filter="exclude", status="settled"),
    _for_one("GET /markets/{ticker}", "ticker", ("open markets", "markets", "ticker")),
    _for_one("GET /markets/{ticker}/orderbook", "ticker", ("open markets", "markets", "ticker")),
    Probe("GET /markets/orderbooks", "GET /markets/orderbooks", _books, "an open market"),
    _plain("GET /markets/trades", limit=_ROWS),
    _for_one("GET /series/{series_ticker}", "series_ticker", ("GET /events", "events", "series_ticker")),
    Probe("series of a category", "GET /series", _series_of_category, "a series with a category"),
    Probe("settled event", "GET /events/{event_ticker}", _settled_event, "a settled market"),
    Probe("candlesticks", "GET /series/{series_ticker}/markets/{ticker}/candlesticks", _candles, "a settled market"),
    _plain("GET /historical/markets", limit=_FEW_ROWS),
    _plain("GET /historical/trades", limit=_FEW_ROWS),
    _plain("GET /series/fee_changes", show_historical="true"),
    _plain("GET /events/fee_changes", limit=_FEW_ROWS),
)  # fmt: skip
"""Probes of public endpoints, sent without an API key. If an endpoint begins to require a key, its probe is refused."""

SIGNED: Final[tuple[Probe, ...]] = (
    _plain("GET /account/limits", signed=True),
    _plain("GET /portfolio/balance", signed=True),
    _plain("GET /portfolio/positions", signed=True, limit=_ROWS),
    _plain("GET /portfolio/orders", signed=True, limit=_ROWS),
    _plain("GET /portfolio/fills", signed=True, limit=_ROWS),
    _plain("GET /portfolio/settlements", signed=True, limit=_ROWS),
    _plain("GET /portfolio/order_groups", signed=True),
    _plain("GET /historical/fills", signed=True, limit=_FEW_ROWS),
    _plain("GET /historical/orders", signed=True, limit=_FEW_ROWS),
)
"""Probes signed with the configured API key. All of these probes only read."""

REFUSED_ANONYMOUSLY: Final[tuple[Probe, ...]] = tuple(
    _plain(probe.endpoint, f"{probe.endpoint} without a key", expects=(401,)) for probe in SIGNED
)
"""Probes without a key that the exchange must refuse."""

ERRORS: Final[tuple[Probe, ...]] = (
    _plain("GET /markets", "limit over the maximum", limit="1001", expects=(400,)),
    Probe(
        "unknown ticker",
        "GET /markets/{ticker}",
        lambda _: VendorRequest("GET /markets/{ticker}", {"ticker": "KXNOSUCHMARKET-00JAN01-T0"}, expects=(404,)),
    ),
    # The exchange may answer a garbage cursor with its first page instead of a refusal.
    _plain("GET /markets", "garbage cursor", limit="1", mve_filter="exclude", cursor="garbage", expects=(200, 400)),
)
"""Probes with a deliberate mistake. The exchange's answer to each mistake is known."""


def plan_probes(environment: str, *, has_key: bool) -> Iterator[tuple[Probe, str]]:
    """Yield every probe of the exchange with the reason to skip it, which is empty if the probe is sent.

    Args:
        environment: ``sandbox``, ``demo`` or ``prod``.
        has_key: Whether an API key is configured.
    """
    for probe in (*PUBLIC, *REFUSED_ANONYMOUSLY, *ERRORS):
        lacking = environment == "sandbox" and probe.endpoint in LACKING_IN_SANDBOX
        yield probe, "the sandbox has no such endpoint" if lacking else ""
    for probe in SIGNED:
        no_key = "no canary key: set KALSHI_API_KEY_ID and KALSHI_PRIVATE_KEY_FILE"
        yield probe, "" if has_key else no_key


def exchange_skip_reasons(environment: str, *, has_key: bool) -> Mapping[str, str]:
    """Return the endpoints without a regular probe, each with the reason. Probes that must be refused do not count."""
    usual = {probe.name for probe in (*PUBLIC, *SIGNED)}
    return {
        probe.endpoint: why_not
        for probe, why_not in plan_probes(environment, has_key=has_key)
        if why_not and probe.name in usual
    }


def exchange_endpoints() -> Mapping[str, None]:
    """Return the endpoints of all regular probes, in the order of the plan."""
    return dict.fromkeys(probe.endpoint for probe in (*PUBLIC, *SIGNED))

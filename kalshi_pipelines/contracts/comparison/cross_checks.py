"""Rules that compare the answers of one contract run: two endpoints that describe the same thing must agree."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.comparison.body_decoding import DecodedBody
from kalshi_pipelines.contracts.declared import assets_of
from kalshi_pipelines.contracts.declared.reading import number_at, rows_at, text_at
from kalshi_pipelines.contracts.language.differences import Difference, Kind, Severity, merge_differences
from kalshi_pipelines.contracts.language.responses import Response

_BALANCE: Final = "GET /portfolio/balance"
_POSITIONS: Final = "GET /portfolio/positions"
_FILLS: Final = "GET /portfolio/fills"
_STATUS: Final = "GET /exchange/status"
_WITH_SHARDS: Final = {
    "GET /markets": "markets[]",
    "GET /markets/{ticker}": "market",
    "GET /events": "events[]",
    "GET /portfolio/positions": "market_positions[]",
    "GET /portfolio/fills": "fills[]",
    "GET /portfolio/balance": "balance_breakdown[]",
}
_WORTH: Final = Decimal(1)


def cross_check(answers: Iterable[tuple[Response, DecodedBody]]) -> tuple[Difference, ...]:
    """Compare the answers of one run with each other.

    Only complete answers with status 200 count. If an endpoint answered several times, the last answer counts.
    """
    bodies = dict(_bodies(answers))
    return merge_differences([*_portfolio(bodies), *_sides(bodies), *_shards(bodies)])


def _bodies(answers: Iterable[tuple[Response, DecodedBody]]) -> Iterator[tuple[str, Any]]:
    for response, body in answers:
        is_plain = not {"subaccount", "exchange_index", "cursor"} & set(response.request.query)
        if response.status == 200 and not response.is_excerpt and is_plain and not body.absurdity:
            yield response.request.endpoint, body.value


def _portfolio(bodies: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield a difference if the portfolio value is zero although positions have exposure.

    In August 2026 the portfolio value changed from the value on one shard to the value on all shards.
    """
    worth = number_at(bodies.get(_BALANCE), "portfolio_value")
    exposures = [
        number_at(row, "market_exposure_dollars") or Decimal(0)
        for _, row in rows_at(bodies.get(_POSITIONS), "market_positions[]")
        if number_at(row, "position_fp")
    ]
    if worth == 0 and sum(exposures) >= _WORTH:
        yield Difference(
            _BALANCE,
            "portfolio_value",
            Kind.INVARIANT_BROKEN,
            Severity.RISKY,
            "positions have a value",
            "nothing, though positions are held",
            f"{sum(exposures)} dollars of exposure",
            assets_of(_BALANCE, "portfolio_value"),
            "Find out which shards and sub-accounts the figure covers. It is right only if no position has a value.",
        )


def _sides(bodies: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield a difference if a position is the negative of the sum of its fills.

    Such a position shows that the exchange changed the sign of either positions or fills.
    """
    bought: dict[str, Decimal] = {}
    if text_at(bodies.get(_FILLS), "cursor"):
        return
    for _, fill in rows_at(bodies.get(_FILLS), "fills[]"):
        sign = {"bid": 1, "ask": -1}.get(text_at(fill, "book_side"), 0)
        ticker = text_at(fill, "ticker")
        bought[ticker] = bought.get(ticker, Decimal(0)) + sign * (number_at(fill, "count_fp") or 0)
    for at, row in rows_at(bodies.get(_POSITIONS), "market_positions[]"):
        held, made = number_at(row, "position_fp"), bought.get(text_at(row, "ticker"))
        if held and made == -held:
            yield Difference(
                _POSITIONS,
                f"{at}.position_fp",
                Kind.INVARIANT_BROKEN,
                Severity.BREAKING,
                "the sum of the fills",
                "as many contracts of the other side",
                f"{made} by fills, {held} held",
                assets_of(_POSITIONS, f"{at}.position_fp"),
                "Stop trading on positions until you know which of the two changed its sign.",
            )


def _shards(bodies: Mapping[str, Any]) -> Iterator[Difference]:
    known = {str(row.get("exchange_index")) for _, row in rows_at(bodies.get(_STATUS), "exchange_index_statuses[]")}
    if not known:
        return
    for endpoint, rows in _WITH_SHARDS.items():
        used = {
            str(row["exchange_index"]): text_at(row, "ticker")
            for _, row in rows_at(bodies.get(endpoint), rows)
            if row.get("exchange_index") is not None
        }
        for shard in sorted(set(used) - known):
            yield Difference(
                endpoint,
                f"{rows}.exchange_index",
                Kind.INVARIANT_BROKEN,
                Severity.RISKY,
                f"shards {', '.join(sorted(known))} of the exchange's status",
                f"shard {shard}",
                used[shard],
                assets_of(endpoint, f"{rows}.exchange_index"),
                "See exchange/status: orders and collateral must be sent to that shard.",
            )

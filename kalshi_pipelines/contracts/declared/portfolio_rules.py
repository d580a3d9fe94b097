"""Rules between the values of a member's own data, and rules for answers to write requests."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from kalshi_pipelines.contracts.declared.reading import ONE, instant_at, number_at, rows_at, text_at
from kalshi_pipelines.contracts.declared.trading_rules import same_direction
from kalshi_pipelines.contracts.language.declarations import BrokenRule, Invariant
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines.contracts.language.responses import Response

TAKER_FEE: Final = Decimal("0.07")
MAKER_FEE: Final = Decimal("0.0175")
COMBO_MAKER_FEE: Final = Decimal("0.035")
"""Fee rates of takers, of makers, and of makers in combos, whose tickers begin with KXMVE.

A fee is rate x count x price x (1 - price).
"""
_LARGEST_MULTIPLIER: Final = Decimal(1)
_ROUNDING: Final = Decimal("0.01")
_FINE_ROUNDING: Final = Decimal("0.000101")
_ORDERS: Final = {"orders[]", "order"}


def balance_rules(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of a balance: cents and dollars must agree, and no shard may be listed twice."""
    cents, dollars = number_at(body, "balance"), number_at(body, "balance_dollars")
    if cents is not None and dollars is not None and not 0 <= dollars * 100 - cents < 1:
        yield BrokenRule(
            "balance_dollars", "balance and balance_dollars disagree", f"{cents}, {dollars}", Severity.BREAKING
        )
    rows = [row for _, row in rows_at(body, "balance_breakdown[]")]
    shards = [row.get("exchange_index") for row in rows]
    if len(shards) != len(set(map(str, shards))):
        yield BrokenRule("balance_breakdown[].exchange_index", "a shard comes twice in the breakdown", str(shards))
    if dollars and body.get("balance_breakdown") == [] and "exchange_index" not in response.request.query:
        yield BrokenRule("balance_breakdown", "there is money, but on no shard", str(dollars))


def balance_traits(body: Any, response: Response) -> Iterator[tuple[str, str]]:  # noqa: ANN401
    """Yield two facts of a balance that should stay the same from one answer to the next.

    The first fact is the list of shards. The second tells whether the amounts on these shards add up to the balance.
    The sum may differ from the balance, because the list covers all sub-accounts and the balance covers only one.
    """
    rows = [row for _, row in rows_at(body, "balance_breakdown[]")]
    parts, whole = [number_at(row, "balance") for row in rows], number_at(body, "balance_dollars")
    if not rows or whole is None or None in parts or {"subaccount", "exchange_index"} & set(response.request.query):
        return
    shards = sorted(str(row.get("exchange_index")) for row in rows)
    yield "balance_breakdown[].exchange_index", f"shards {', '.join(shards)}"
    total = sum(part for part in parts if part is not None)
    sums = "the balance" if abs(total - whole) <= Decimal("0.0001") else "another sum than the balance"
    yield "balance_breakdown[].balance", f"the breakdown makes {sums}"


def position_rules(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of positions: amounts must be within their bounds, and rows must match the request."""
    request = response.request
    tickers: set[str] = set()
    for at, row in rows_at(body, "market_positions[]"):
        held, exposure = number_at(row, "position_fp"), number_at(row, "market_exposure_dollars")
        if held is not None and exposure is not None and exposure > abs(held):
            yield BrokenRule(
                f"{at}.market_exposure_dollars",
                "an exposure is above what the position can pay",
                f"{exposure} for {held}",
            )
        fees, traded = number_at(row, "fees_paid_dollars"), number_at(row, "total_traded_dollars")
        if fees is not None and traded is not None and fees > traded + ONE:
            yield BrokenRule(f"{at}.fees_paid_dollars", "fees are above what was traded", f"{fees} of {traded}")
        for name in ("ticker",):
            if request.one(name) and text_at(row, name) != request.one(name):
                yield BrokenRule(f"{at}.{name}", f"{name} is ignored", text_at(row, name))
        if text_at(row, "ticker") in tickers:
            yield BrokenRule(f"{at}.ticker", "a position comes twice", text_at(row, "ticker"))
        tickers.add(text_at(row, "ticker"))
        if request.one("settlement_status") in {None, "unsettled"} and request.one("count_filter") == "position":
            yield from _no_zero(at, held)
    for at, row in rows_at(body, "event_positions[]"):
        event = text_at(row, "event_ticker")
        if request.one("event_ticker") and event != request.one("event_ticker"):
            yield BrokenRule(f"{at}.event_ticker", "event_ticker is ignored", event)
    yield from _sums_of_events(body)


def _no_zero(at: str, held: Decimal | None) -> Iterator[BrokenRule]:
    if held == 0:
        yield BrokenRule(f"{at}.position_fp", "count_filter=position is answered with positions of nothing", "0")


def _sums_of_events(body: Any) -> Iterator[BrokenRule]:  # noqa: ANN401
    if text_at(body, "cursor"):
        return
    markets = [row for _, row in rows_at(body, "market_positions[]")]
    for at, event in rows_at(body, "event_positions[]"):
        name = text_at(event, "event_ticker")
        exposures = [
            number_at(row, "market_exposure_dollars")
            for row in markets
            if text_at(row, "ticker").startswith(f"{name}-")
        ]
        whole = number_at(event, "event_exposure_dollars")
        if name and exposures and whole is not None and None not in exposures:
            total = sum(each for each in exposures if each is not None)
            if whole > total + Decimal("0.000001"):
                yield BrokenRule(
                    f"{at}.event_exposure_dollars",
                    "an event's exposure is above that of its markets",
                    f"{whole} of {total}",
                )


def order_rules(place: str) -> Invariant:
    """Return the rules for each order at a place in the body.

    The rules concern directions, prices, counts, costs, instants and the filters of the request.
    """

    def rule(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
        for at, order in rows_at(body, place):
            yield from same_direction(at, order, "outcome_side", "book_side", "side", "action")
            yield from _a_dollar(at, order)
            yield from _counts(at, order)
            yield from _costs(at, order)
            created, updated = instant_at(order, "created_time"), instant_at(order, "last_update_time")
            if created and updated and created > updated:
                yield BrokenRule(f"{at}.last_update_time", "an order was updated before it was created", f"{updated}")
            yield from _order_filters(at, order, response)

    return rule


def _a_dollar(at: str, row: dict[str, Any]) -> Iterator[BrokenRule]:
    yes, no = number_at(row, "yes_price_dollars"), number_at(row, "no_price_dollars")
    if yes is not None and no is not None and yes + no != ONE:
        yield BrokenRule(
            f"{at}.no_price_dollars", "yes and no no longer make one dollar", f"{yes} + {no}", Severity.BREAKING
        )


def _counts(at: str, order: dict[str, Any]) -> Iterator[BrokenRule]:
    filled, remaining, initial = (number_at(order, f"{name}_count_fp") for name in ("fill", "remaining", "initial"))
    if filled is None or remaining is None or initial is None:
        return
    if filled + remaining > initial:
        yield BrokenRule(
            f"{at}.fill_count_fp",
            "filled and remaining are above the initial count",
            f"{filled} + {remaining} of {initial}",
        )
    status = text_at(order, "status")
    if status == "resting" and remaining == 0:
        yield BrokenRule(f"{at}.remaining_count_fp", "a resting order has nothing remaining", f"{remaining}")
    if status in {"executed", "canceled"} and remaining > 0:
        yield BrokenRule(f"{at}.remaining_count_fp", "an order that is over has something remaining", f"{remaining}")
    if status == "executed" and filled == 0:
        yield BrokenRule(f"{at}.fill_count_fp", "an executed order was not filled", f"{filled}")


def _costs(at: str, order: dict[str, Any]) -> Iterator[BrokenRule]:
    filled = number_at(order, "fill_count_fp")
    costs = [number_at(order, f"{role}_fill_cost_dollars") for role in ("taker", "maker")]
    if filled is None or None in costs:
        return
    cost = sum(each for each in costs if each is not None)
    if cost > filled:
        yield BrokenRule(f"{at}.taker_fill_cost_dollars", "fills cost more than a dollar a contract", f"{cost}")
    if filled == 0 and cost:
        yield BrokenRule(f"{at}.taker_fill_cost_dollars", "an order that was not filled has a cost", f"{cost}")
    if filled > 0 and cost == 0:
        yield BrokenRule(f"{at}.taker_fill_cost_dollars", "an order was filled at no cost", f"{filled}")


def _order_filters(at: str, order: dict[str, Any], response: Response) -> Iterator[BrokenRule]:
    request = response.request
    for name in ("ticker", "status"):
        if place_is_list(at) and request.one(name) and text_at(order, name) != request.one(name):
            yield BrokenRule(f"{at}.{name}", f"{name} is ignored", text_at(order, name))
    wanted = request.one("subaccount")
    number = order.get("subaccount_number")
    if wanted and number is not None and str(number) != wanted:
        yield BrokenRule(f"{at}.subaccount_number", "subaccount is ignored", str(number))
    if not wanted and isinstance(number, int) and number != 0:
        yield BrokenRule(f"{at}.subaccount_number", "rows of other sub-accounts are mixed in", str(number))


def place_is_list(at: str) -> bool:
    """Return whether a place stands for the elements of a list."""
    return at.endswith("[]")


def fill_rules(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of fills.

    The YES and NO prices must add up to one dollar, directions and identifiers must agree, and the fee must fit the fee
    model.
    """
    for at, fill in rows_at(body, "fills[]"):
        yield from same_direction(at, fill, "outcome_side", "book_side", "side", "action")
        yield from _a_dollar(at, fill)
        yield from _order_filters(at, fill, response)
        for one, other in (("ticker", "market_ticker"), ("fill_id", "trade_id")):
            if text_at(fill, one) and text_at(fill, other) and text_at(fill, one) != text_at(fill, other):
                yield BrokenRule(f"{at}.{other}", f"{one} and {other} disagree", text_at(fill, other))
        wanted = response.request.one("order_id")
        if wanted and text_at(fill, "order_id") != wanted:
            yield BrokenRule(f"{at}.order_id", "order_id is ignored", text_at(fill, "order_id"))
        created, seconds = instant_at(fill, "created_time"), number_at(fill, "ts")
        if created and seconds is not None and abs(int(created.timestamp()) - int(seconds)) > 1:
            yield BrokenRule(f"{at}.ts", "ts and created_time disagree", f"{seconds}, {created}")
        yield from _fee(at, fill)


def _fee(at: str, fill: dict[str, Any]) -> Iterator[BrokenRule]:
    price, size, fee = (number_at(fill, name) for name in ("yes_price_dollars", "count_fp", "fee_cost"))
    if price is None or size is None or fee is None or not isinstance(fill.get("is_taker"), bool):
        return
    is_combo = text_at(fill, "ticker").startswith("KXMVE")
    rate = TAKER_FEE if fill["is_taker"] or is_combo else MAKER_FEE
    model = _LARGEST_MULTIPLIER * rate * size * price * (ONE - price)
    # The exchange rounds fees to a cent, or for some accounts to a hundredth of a cent. A fee with parts of a cent
    # shows the finer rounding.
    rounding = _FINE_ROUNDING if (fee * 100) % 1 else _ROUNDING
    if fee > model + rounding:
        role = "taker" if fill["is_taker"] else "maker"
        yield BrokenRule(f"{at}.fee_cost", f"a {role}'s fee is above the fee model", f"{fee} above {model:.6f}")
    if fee < 0:
        yield BrokenRule(f"{at}.fee_cost", "a fee is negative", str(fee), Severity.BREAKING)


def settlement_rules(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of settlements.

    The revenue must be one dollar for each winning contract, and no contract may have cost more than one dollar. Rows
    must match the filters of the request.
    """
    for at, row in rows_at(body, "settlements[]"):
        result = text_at(row, "market_result")
        held = {"yes": number_at(row, "yes_count_fp"), "no": number_at(row, "no_count_fp")}.get(result)
        revenue, value = number_at(row, "revenue"), number_at(row, "value")
        expected = {"yes": Decimal(100), "no": Decimal(0)}.get(result)
        if value is not None and expected is not None and value != expected:
            yield BrokenRule(f"{at}.value", "a settlement's value is not its result's", f"{result}: {value}")
        if held is not None and revenue is not None and not 0 <= held * 100 - revenue < 1:
            yield BrokenRule(
                f"{at}.revenue",
                "revenue is not a dollar for each winning contract",
                f"{revenue} cents for {held} {result}",
            )
        for side in ("yes", "no"):
            cost, many = number_at(row, f"{side}_total_cost_dollars"), number_at(row, f"{side}_count_fp")
            if cost is not None and many is not None and cost > many:
                yield BrokenRule(
                    f"{at}.{side}_total_cost_dollars", "contracts cost more than a dollar each", f"{cost} for {many}"
                )
        for name in ("ticker", "event_ticker"):
            if response.request.one(name) and text_at(row, name) != response.request.one(name):
                yield BrokenRule(f"{at}.{name}", f"{name} is ignored", text_at(row, name))


def write_echo(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules of an answer to a write request.

    The answer must be about the requested order, because in May 2026 an answer was about another order. The filled and
    the remaining count together must not exceed the requested count. A fill-or-kill order must be filled completely or
    not at all. No order may be filled at a worse price than its limit.
    """
    wanted = response.request.path.get("order_id")
    got = text_at(body, "order_id")
    if wanted and got and wanted != got:
        yield BrokenRule(
            "order_id", "the answer is about another order", f"asked {wanted}, got {got}", Severity.BREAKING
        )
    sent = response.request.sent
    for name in ("client_order_id",):
        if text_at(dict(sent), name) and isinstance(body, dict) and body.get(name) != sent.get(name):
            yield BrokenRule(name, f"{name} is not echoed", text_at(body, name))
    yield from _created(body, dict(sent))


def _created(body: Any, sent: dict[str, Any]) -> Iterator[BrokenRule]:  # noqa: ANN401
    count, filled, remaining = (
        number_at(sent, "count"),
        number_at(body, "fill_count"),
        number_at(body, "remaining_count"),
    )
    if count is None or filled is None or remaining is None:
        return
    if filled + remaining > count:
        example = f"{filled} + {remaining} of {count}"
        yield BrokenRule("fill_count", "filled and remaining are above the count sent", example, Severity.BREAKING)
    if text_at(sent, "time_in_force") == "fill_or_kill" and filled not in (0, count):
        yield BrokenRule(
            "fill_count", "a fill-or-kill order was filled in part", f"{filled} of {count}", Severity.BREAKING
        )
    price, average = number_at(sent, "price"), number_at(body, "average_fill_price")
    if price is None or average is None:
        return
    worse = average > price if sent.get("side") == "bid" else average < price
    if worse and filled > 0:
        yield BrokenRule(
            "average_fill_price",
            "an order was filled at a worse price than its limit",
            f"{average}, {sent.get('side')} {price}",
            Severity.BREAKING,
        )


def fee_of_answer(body: Any, _: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield broken rules about the fee in the answer to an order.

    The fee must not exceed the fee model, and an order with fills must have an average price.
    """
    filled, average = number_at(body, "fill_count"), number_at(body, "average_fill_price")
    fee = number_at(body, "average_fee_paid")
    if filled and average is None:
        yield BrokenRule("average_fill_price", "an order was filled, but its price is not told", f"{filled}")
    if fee is not None and average is not None and fee > TAKER_FEE * average * (ONE - average) + _ROUNDING:
        yield BrokenRule("average_fee_paid", "a fee is above the fee model", f"{fee} at {average}")


def order_named(body: Any, response: Response) -> Iterable[BrokenRule]:  # noqa: ANN401
    """Yield a broken rule if the answer is about another order than the requested one."""
    wanted = response.request.path.get("order_id")
    for at, order in rows_at(body, "order"):
        if wanted and text_at(order, "order_id") != wanted:
            yield BrokenRule(
                f"{at}.order_id", "the answer is about another order", f"asked {wanted}", Severity.BREAKING
            )

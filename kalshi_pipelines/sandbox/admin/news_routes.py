"""Admin routes of the press: what it serves and to whom, what it charged, what it showed."""

from decimal import Decimal, InvalidOperation
from typing import Final

from kalshi_pipelines.sandbox.admin.routes import AdminRoute, BadOrder, Order
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.news.charges import MICRO
from kalshi_pipelines.sandbox.news.newsroom import CORPORA

_KNOWN: Final = frozenset({"corpus", "trap", "keys", "cost_dollars", "credit_dollars"})


def set_news(exchange: Exchange, order: Order) -> object:
    """Change what is given: ``corpus``, ``trap``, ``keys``, the span ``cost_dollars`` of a search, ``credit_dollars``.

    The last three are taken back by null.
    """
    newsroom, body = exchange.newsroom, order.body
    if unknown := body.keys() - _KNOWN:
        raise BadOrder(f"the press has no {', '.join(sorted(unknown))}")
    corpus = order.text("corpus", newsroom.corpus)
    if corpus not in CORPORA:
        raise BadOrder(f"corpus is one of {', '.join(CORPORA)}")
    keys = body.get("keys", newsroom.keys)
    if keys is not None and not all(isinstance(key, str) for key in keys):
        raise BadOrder("keys are texts, or null")
    span, credit = newsroom.charges.span, newsroom.charges.credit
    if "cost_dollars" in body:
        span = None if body["cost_dollars"] is None else _span(body["cost_dollars"])
    if "credit_dollars" in body:
        credit = None if body["credit_dollars"] is None else _microdollars(body["credit_dollars"])
    newsroom.corpus, newsroom.trap, newsroom.keys = corpus, order.text("trap", newsroom.trap), keys
    newsroom.charges.span, newsroom.charges.credit = span, credit
    return {"news": order.body}


def charges(exchange: Exchange, order: Order) -> object:
    """What searches really cost, one by one."""
    return exchange.newsroom.charges.wire()


def clear_charges(exchange: Exchange, order: Order) -> object:
    """Forget the charges."""
    exchange.newsroom.charges.charges.clear()
    return None


def shown(exchange: Exchange, order: Order) -> object:
    """Every address shown, with the story behind it."""
    return exchange.newsroom.wire()


NEWS_ROUTES: Final = (
    AdminRoute("POST", "/news", set_news),
    AdminRoute("GET", "/news/charges", charges),
    AdminRoute("DELETE", "/news/charges", clear_charges),
    AdminRoute("GET", "/news/truth", shown),
)


def _microdollars(value: object) -> int:
    try:
        amount = Decimal(str(value)) * MICRO
    except InvalidOperation:
        amount = Decimal("nan")
    if not amount.is_finite() or amount < 0 or amount != int(amount):
        raise BadOrder(f"{value!r} is no amount of dollars with at most six decimals")
    return int(amount)


def _span(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadOrder("cost_dollars is a list of the least and the most, or null")
    least, most = (_microdollars(each) for each in value)
    if least > most:
        raise BadOrder("cost_dollars begins with the least")
    return least, most

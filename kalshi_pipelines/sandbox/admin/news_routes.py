"""Admin routes of the generated news: settings, accepted keys, charges for searches, and the addresses of articles
shown so far.
"""

from decimal import Decimal, InvalidOperation
from typing import Final

from kalshi_pipelines.sandbox.admin.routes import AdminRequest, AdminRoute, BadAdminRequest
from kalshi_pipelines.sandbox.exchange import Exchange
from kalshi_pipelines.sandbox.news.charges import MICRO
from kalshi_pipelines.sandbox.news.provider import CORPORA

_KNOWN: Final = frozenset({"corpus", "trap", "keys", "cost_dollars", "credit_dollars"})


def set_news(exchange: Exchange, request: AdminRequest) -> object:
    """Change the news settings that the request contains.

    ``corpus`` makes the news ordinary or hostile. ``trap`` is the address that links in hostile news lead to. ``keys``
    are the accepted API keys. ``cost_dollars`` is the lowest and the highest cost of a search. ``credit_dollars`` is
    the money left for searches. Null resets ``keys``, ``cost_dollars`` or ``credit_dollars``.
    """
    news, body = exchange.news, request.body
    if unknown := body.keys() - _KNOWN:
        raise BadAdminRequest(
            f"The generated news has no setting {', '.join(sorted(unknown))}.", f"Use {', '.join(sorted(_KNOWN))}."
        )
    corpus = request.text("corpus", news.corpus)
    if corpus not in CORPORA:
        raise BadAdminRequest(f"corpus must be one of {', '.join(CORPORA)}.")
    keys = body.get("keys", news.keys)
    if keys is not None and not all(isinstance(key, str) for key in keys):
        raise BadAdminRequest("keys must be a list of texts, or null.")
    span, credit = news.charges.span, news.charges.credit
    if "cost_dollars" in body:
        span = None if body["cost_dollars"] is None else _span(body["cost_dollars"])
    if "credit_dollars" in body:
        credit = None if body["credit_dollars"] is None else _microdollars(body["credit_dollars"])
    news.corpus, news.trap, news.keys = corpus, request.text("trap", news.trap), keys
    news.charges.span, news.charges.credit = span, credit
    return {"news": request.body}


def charges(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with the true cost of each news search."""
    return exchange.news.charges.wire()


def clear_charges(exchange: Exchange, request: AdminRequest) -> object:
    """Remove all recorded charges for news searches."""
    exchange.news.charges.charges.clear()
    return None


def shown(exchange: Exchange, request: AdminRequest) -> object:
    """Answer with the address of every article shown so far, and the story that each article tells."""
    return exchange.news.wire()


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
        raise BadAdminRequest(f"{value!r} is not an amount of dollars with at most six decimals.")
    return int(amount)


def _span(value: object) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise BadAdminRequest("cost_dollars must be a list of the lowest and the highest cost, or null.")
    least, most = (_microdollars(each) for each in value)
    if least > most:
        raise BadAdminRequest("The first value of cost_dollars must not be higher than the second.")
    return least, most

"""Functions that convert a row of a legacy table, one function for each table.

Each function takes a row (key columns first), the state of the adoption, and an object that collects remarks. The
function returns values in the order of the new columns that the module ``conversions`` lists for the table.

Raises:
    RefusedLegacyRow: The row breaks an invariant of the warehouse.
"""

import hashlib
import json
from typing import Any, Final

from kalshi_pipelines.warehouse.adoption.state import AdoptionState
from kalshi_pipelines.warehouse.adoption.values import (
    RefusedLegacyRow,
    Remarks,
    amount,
    cost,
    count,
    dollar_text,
    flag,
    identifier,
    instant,
    optional_amount,
    optional_instant,
    optional_price,
    optional_text,
    price,
    share,
    text,
    texts_as_json,
    whole_number,
    word,
)
from kalshi_pipelines.warehouse.bulk import Row
from kalshi_pipelines.warehouse.tables import (
    ACTIONS,
    MARKET_RESULTS,
    MARKET_STATUSES,
    MAX_PRICE_MICRODOLLARS,
    OUTCOME_SIDES,
    SENTIMENT_LABELS,
    SETTLEMENT_RESULTS,
    TRACKED_ITEM_TYPES,
)

#: The sub-account of all legacy rows. The older tool had no sub-accounts, only the primary account.
_PRIMARY_SUBACCOUNT: Final = 0
#: Tolerance when yes and no prices are compared: the older tool rounded each price to a cent separately.
_ROUNDED_CENTS: Final = 1
_LONGEST_TICKER: Final = 100
_LONGEST_URL: Final = 2_000


def event(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert an event to a placeholder, which is replaced when the exchange's own record is read."""
    key, series_key, title, status, category, exclusive, created_at, updated_at = row
    ticker = identifier("ticker", key, remarks)
    series_ticker = identifier("series_ticker", series_key, remarks)
    values = (
        ticker,
        True,
        series_ticker,
        text("title", title),
        optional_text("category", category),
        flag("mutually_exclusive", exclusive),
        _left_over(status=status),
        instant("created_at", created_at, remarks),
        instant("updated_at", updated_at, remarks),
        state.run_id,
    )
    if title == ticker and series_ticker == ticker:
        remarks.odd.append("placeholder in the old database: title and series_ticker are its own ticker")
    state.claim("event", ticker, row=key)
    state.series.request_placeholder(series_ticker)
    state.events.mark_stored(ticker)
    return values


def market(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a market to a placeholder, which is replaced when the exchange's own record is read."""
    key, event_key, series_ticker, title, subtitle, status, result, opens, closes, expires, category, sub, *times = row
    ticker = identifier("ticker", key, remarks)
    event_ticker = identifier("event_ticker", event_key, remarks)
    open_us, close_us = instant("open_time", opens, remarks), instant("close_time", closes, remarks)
    created_us, updated_us = (
        instant(name, value, remarks) for name, value in zip(("created_at", "updated_at"), times, strict=True)
    )
    values = (
        ticker,
        True,
        event_ticker,
        text("title", title),
        optional_text("subtitle", subtitle),
        word("status", status, MARKET_STATUSES, remarks),
        None if result is None else word("result", result, MARKET_RESULTS, remarks),
        open_us,
        close_us,
        instant("expiration_time", expires, remarks),
        _left_over(series_ticker=series_ticker, category=category, subcategory=sub),
        created_us,
        updated_us,
        state.run_id,
    )
    state.events.require(event_ticker, "event_ticker", remarks, promised=True)
    if close_us < open_us:
        remarks.odd.append("close_time is before open_time")
    if len(ticker) > _LONGEST_TICKER:
        remarks.odd.append(f"ticker has {len(ticker)} characters")
    state.claim("market", ticker, row=key)
    state.markets.mark_stored(ticker)
    return values


def price_snapshot(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a quote. Only the database finds duplicates: there are too many quotes to keep their keys in memory."""
    key, market_key, snapshot_time, yes_bid, yes_ask, no_bid, no_ask, last_price, volume, volume_24h, interest = row
    ticker = identifier("ticker", market_key, remarks)
    values = (
        key,
        ticker,
        instant("snapshot_time", snapshot_time, remarks),
        state.run_id,
        price("yes_bid", yes_bid),
        price("yes_ask", yes_ask),
        price("no_bid", no_bid),
        price("no_ask", no_ask),
        optional_price("last_price", last_price),
        count("volume", volume),
        count("open_interest", interest),
        count("volume_24h", volume_24h),
    )
    state.markets.require(ticker, "ticker", remarks, promised=True)
    if yes_bid > yes_ask:
        remarks.odd.append(f"crossed quote: yes_bid {yes_bid} is above yes_ask {yes_ask}")
    if abs(yes_bid + no_ask - 100) > _ROUNDED_CENTS or abs(yes_ask + no_bid - 100) > _ROUNDED_CENTS:
        remarks.odd.append("yes and no prices do not add up to 100 cents")
    return values


def settlement(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert the settlement of a market."""
    key, event_key, settled_at, result, final_yes, final_no, yes_payout, no_payout = row
    ticker = identifier("ticker", key, remarks)
    payouts = optional_price("yes_payout", yes_payout), optional_price("no_payout", no_payout)
    if None not in payouts and yes_payout + no_payout != 100:
        raise RefusedLegacyRow(f"yes_payout {yes_payout} and no_payout {no_payout} do not add up to 100 cents")
    values = (
        ticker,
        identifier("event_ticker", event_key, remarks),
        instant("settled_at", settled_at, remarks),
        word("result", result, SETTLEMENT_RESULTS, remarks),
        optional_price("final_yes_price", final_yes),
        optional_price("final_no_price", final_no),
        *payouts,
        state.now_us,
        state.run_id,
    )
    state.markets.require(ticker, "ticker", remarks, promised=True)
    state.claim("settled market", ticker, row=key)
    return values


def position(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a position on one side of a market."""
    key, market_key, side, quantity, average, current, unrealized, realized, thesis, opened, closed, synced = row
    ticker = identifier("ticker", market_key, remarks)
    outcome = word("side", side, OUTCOME_SIDES, remarks)
    opened_us, closed_us = instant("opened_at", opened, remarks), optional_instant("closed_at", closed, remarks)
    synced_us = instant("last_synced", synced, remarks)
    values = (
        key,
        ticker,
        _PRIMARY_SUBACCOUNT,
        outcome,
        count("quantity", quantity),
        price("avg_price_cents", average),
        optional_price("current_price_cents", current),
        optional_amount("unrealized_pnl_cents", unrealized),
        amount("realized_pnl_cents", realized),
        str(thesis) if type(thesis) is int else optional_text("thesis_id", thesis),
        opened_us,
        closed_us,
        synced_us,
        state.run_id,
    )
    if closed_us is None:
        if quantity == 0:
            remarks.odd.append("the position is open, but its quantity is 0")
        first = state.first_row_with("open position", ticker, outcome, row=key)
        if first != key:
            remarks.odd.append(f"row {first} is also an open position of this market and side")
    elif closed_us < opened_us:
        remarks.odd.append("closed_at is before opened_at")
    if average == 0:
        remarks.odd.append("avg_price_cents is 0, so the cost is unknown")
    state.markets.require(ticker, "ticker", remarks, promised=False)
    state.positions.mark_stored(key)
    return values


def trade(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a fill of the account. The legacy price is the price of the traded side."""
    key, kalshi_id, market_key, side, action, quantity, cents, total, fee, position_id, executed_at, synced_at = row
    ticker = identifier("ticker", market_key, remarks)
    fill_id = identifier("kalshi_trade_id", kalshi_id, remarks)
    held, verb = word("side", side, OUTCOME_SIDES, remarks), word("action", action, ACTIONS, remarks)
    if count("quantity", quantity) == 0:
        raise RefusedLegacyRow("quantity=0: a fill has at least one contract")
    own = price("price_cents", cents)
    yes_price = own if held == "yes" else MAX_PRICE_MICRODOLLARS - own
    outcome = "yes" if (held == "yes") == (verb == "buy") else "no"
    executed_us = instant("executed_at", executed_at, remarks)
    fee_microdollars = cost("fee_cents", fee)
    synced_us = instant("synced_at", synced_at, remarks)
    position_key = _position_of_trade(position_id, state, remarks)
    if whole_number("total_cost_cents", total) != cents * quantity:
        remarks.odd.append(f"total_cost_cents is {total}, but price times quantity is {cents * quantity}")
    if executed_us > state.now_us:
        remarks.odd.append("executed_at is in the future")
    state.claim("fill id", fill_id.lower(), row=key)
    alike = state.first_row_with("fill", ticker, held, verb, quantity, cents, executed_us, row=key)
    if alike != key:
        remarks.odd.append(f"row {alike} is the same fill with another id")
    state.markets.require(ticker, "ticker", remarks, promised=False)
    return (
        fill_id,
        ticker,
        _PRIMARY_SUBACCOUNT,
        held,
        verb,
        outcome,
        "bid" if outcome == "yes" else "ask",
        count("quantity", quantity),
        yes_price,
        MAX_PRICE_MICRODOLLARS - yes_price,
        fee_microdollars,
        position_key,
        executed_us,
        synced_us,
        state.run_id,
    )


def _position_of_trade(position_id: Any, state: AdoptionState, remarks: Remarks) -> int | None:  # noqa: ANN401
    if position_id is None or position_id in state.positions:
        return None if position_id is None else int(position_id)
    if state.positions.is_quarantined(position_id):
        remarks.odd.append(f"position_id={position_id} is quarantined, so the fill is kept without a position")
        return None
    raise RefusedLegacyRow(f"position_id={position_id} is not in positions")


def portfolio_settlement(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert the payment that the account received when a market settled."""
    key, market_key, event_key, result, yes_count, yes_cost, no_count, no_cost, revenue, fee, value, *times = row
    ticker = identifier("ticker", market_key, remarks)
    market_result = word("market_result", result, SETTLEMENT_RESULTS, remarks)
    if market_result == "scalar" and value is None:
        raise RefusedLegacyRow("market_result='scalar' needs a value")
    settled_us, synced_us = (
        instant(name, each, remarks) for name, each in zip(("settled_at", "synced_at"), times, strict=True)
    )
    values = (
        key,
        ticker,
        identifier("event_ticker", event_key, remarks),
        _PRIMARY_SUBACCOUNT,
        market_result,
        count("yes_count", yes_count),
        cost("yes_total_cost", yes_cost),
        count("no_count", no_count),
        cost("no_total_cost", no_cost),
        cost("revenue", revenue),
        dollar_text("fee_cost_dollars", fee, remarks),
        optional_price("value", value),
        settled_us,
        synced_us,
        state.run_id,
    )
    state.claim("settlement", ticker, settled_us, row=key)
    state.markets.require(ticker, "ticker", remarks, promised=False)
    return values


def tracked_item(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a market or event for which news is collected."""
    key, item_key, item_type, queries, created_at, last_collected_at, is_active = row
    written = identifier("ticker", item_key, remarks)
    ticker = written.upper()
    if ticker != written:
        remarks.normalised.append(f"ticker {written!r} -> {ticker!r}")
    values = (
        key,
        ticker,
        word("item_type", item_type, TRACKED_ITEM_TYPES, remarks),
        texts_as_json("search_queries", queries),
        flag("is_active", is_active),
        instant("created_at", created_at, remarks),
        optional_instant("last_collected_at", last_collected_at, remarks),
        state.run_id,
    )
    state.claim("tracked ticker", ticker, row=key)
    return values


def news_article(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a news article. The hash of its address is checked but not stored: the address itself is the key."""
    key, address, url_hash, title, domain, published_at, collected_at, snippet, full_text, request_id = row
    url = identifier("url", address, remarks)
    if hashlib.sha256(address.encode()).hexdigest() != url_hash:
        raise RefusedLegacyRow("url_hash is not the SHA-256 of url")
    values = (
        key,
        url,
        text("title", title),
        text("source_domain", domain),
        optional_instant("published_at", published_at, remarks),
        instant("collected_at", collected_at, remarks),
        optional_text("text_snippet", snippet),
        optional_text("full_text", full_text),
        optional_text("exa_request_id", request_id),
        state.run_id,
    )
    if len(url) > _LONGEST_URL:
        remarks.odd.append(f"url has {len(url)} characters")
    state.claim("url", url, row=key)
    state.articles.mark_stored(key)
    return values


def _article(article_id: Any, state: AdoptionState) -> int:  # noqa: ANN401
    """Return the id of an article that another row refers to.

    The row is refused if the article is quarantined or missing, because articles have no placeholders.
    """
    if article_id not in state.articles:
        where = "quarantined" if state.articles.is_quarantined(article_id) else "not in news_articles"
        raise RefusedLegacyRow(f"article_id={article_id} is {where}")
    return whole_number("article_id", article_id)


def news_article_market(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a link from an article to a market."""
    article_id, market_key = row
    article, ticker = _article(article_id, state), identifier("ticker", market_key, remarks)
    state.markets.require(ticker, "ticker", remarks, promised=True)
    state.claim("article and market", article, ticker, row=row)
    return article, ticker


def news_article_event(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert a link from an article to an event."""
    article_id, event_key = row
    article, ticker = _article(article_id, state), identifier("event_ticker", event_key, remarks)
    state.events.require(ticker, "event_ticker", remarks, promised=True)
    state.claim("article and event", article, ticker, row=row)
    return article, ticker


def news_sentiment(row: tuple[Any, ...], state: AdoptionState, remarks: Remarks) -> Row:
    """Convert the sentiment score of an article."""
    key, article_id, analyzed_at, score, label, confidence, method, keywords = row
    article, analyzed_us = _article(article_id, state), instant("analyzed_at", analyzed_at, remarks)
    values = (
        key,
        article,
        analyzed_us,
        share("score", score, -1, 1),
        word("label", label, SENTIMENT_LABELS, remarks),
        share("confidence", confidence, 0, 1),
        identifier("method", method, remarks),
        None if keywords is None else texts_as_json("keywords_matched", keywords),
        state.run_id,
    )
    state.claim("sentiment", article, values[6], analyzed_us, row=key)
    return values


def _left_over(**columns: Any) -> str | None:  # noqa: ANN401
    """Return legacy columns without a counterpart in the warehouse, as JSON text."""
    known = {name: optional_text(name, value) for name, value in columns.items() if value is not None}
    return json.dumps(known, ensure_ascii=False) if known else None

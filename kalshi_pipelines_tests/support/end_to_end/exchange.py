"""The exchange's data as a plain HTTP client reads it, compared with the data in the warehouse and the lake."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import orjson
import pyarrow.parquet as pq
import sqlalchemy as sa

from kalshi_pipelines.units import contracts, dollars
from kalshi_pipelines.warehouse.tables import (
    events,
    markets,
    orderbook_snapshots,
    orderbooks,
    price_snapshots,
    quarantine,
    quotes,
    rule_texts,
    series,
    settlements,
    watermarks,
)

#: Fields of markets that only older recordings have. The warehouse stores these fields as unknown fields.
RETIRED = {"liquidity_dollars"}
DATA_TABLES = (
    series,
    events,
    rule_texts,
    markets,
    quotes,
    price_snapshots,
    orderbooks,
    orderbook_snapshots,
    settlements,
    quarantine,
    watermarks,
)


def read_list(url: str, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """Return every record of a list endpoint, with numbers as the exchange sent them."""
    records: list[dict[str, Any]] = []
    cursor = ""
    with httpx.Client(base_url=url, trust_env=False) as client:
        while True:
            answer = client.get(path, params=params | ({"cursor": cursor} if cursor else {}))
            answer.raise_for_status()
            page = orjson.loads(answer.content)
            records += page[key]
            cursor = page.get("cursor") or ""
            if not cursor:
                return records


def found_in(folder: Path, key: str) -> dict[str, dict[str, Any]]:
    """Return every market (key ``ticker``) or event (key ``event_ticker``) in the recorded files, at any depth."""
    found: dict[str, dict[str, Any]] = {}

    def look(document: Any) -> None:
        if isinstance(document, dict):
            if key == "ticker" and "yes_bid_dollars" in document:
                newer = found.setdefault(document["ticker"], document)
                if document["updated_time"] > newer["updated_time"]:
                    found[document["ticker"]] = document
            if key == "event_ticker" and "mutually_exclusive" in document:
                found.setdefault(document["event_ticker"], document)
            for value in document.values():
                look(value)
        elif isinstance(document, list):
            for value in document:
                look(value)

    for file in sorted(folder.glob("*.json")):
        look(orjson.loads(file.read_bytes()))
    return found


def stored(engine: sa.Engine, table: sa.Table, key: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a warehouse table, by their key."""
    with engine.connect() as connection:
        return {row[key]: dict(row) for row in connection.execute(sa.select(table)).mappings()}


def everything(engine: sa.Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Return all market data, without what changes in every run.

    That is run records, reads of lists, the rate budget, news watermarks, and the time at which an event was listed.
    """
    with engine.connect() as connection:
        found = {
            table.name: [tuple(row) for row in connection.execute(_lasting_columns(table))] for table in DATA_TABLES
        }
    found["watermarks"] = [row for row in found["watermarks"] if not row[0].startswith("news ")]
    return found


def _lasting_columns(table: sa.Table) -> sa.Select[Any]:
    columns = [column for column in table.c if column.name != "listed_us"]
    return sa.select(*columns).order_by(*table.primary_key)


def assert_books_stored_exactly(url: str, engine: sa.Engine, lake: Path) -> int:
    """Assert that every stored orderbook level equals the exchange's, in SQL and Parquet; return how many levels."""
    rows = stored(engine, orderbooks, "ticker")
    history: dict[tuple[str, str], list[tuple[Decimal, Decimal]]] = {}
    for level in pq.read_table(lake / "orderbook_levels").to_pylist():
        if not level["contracts"]:
            continue  # an empty book
        history.setdefault((level["ticker"], level["side"]), []).append((level["price"], level["contracts"]))
    compared = 0
    with httpx.Client(base_url=url, trust_env=False) as client:
        for start in range(0, len(rows), 100):
            answer = client.get("/markets/orderbooks", params={"tickers": list(rows)[start : start + 100]})
            for book in orjson.loads(answer.content)["orderbooks"]:
                for side in ("yes", "no"):
                    sent = [
                        (Decimal(price), Decimal(count)) for price, count in book["orderbook_fp"][f"{side}_dollars"]
                    ]
                    in_sql = orjson.loads(rows[book["ticker"]][f"{side}_levels"])
                    assert [(dollars(price), contracts(count)) for price, count in in_sql] == sent
                    assert history.get((book["ticker"], side), []) == sent
                    compared += len(sent)
    return compared


def assert_stored_exactly(sent: Iterable[dict[str, Any]], engine: sa.Engine, lake: Path | None = None) -> int:
    """Assert that each market's dollar amounts and contract counts are stored exactly. Return the number compared."""
    quotes_of = stored(engine, quotes, "ticker")
    rows = {ticker: quotes_of[ticker] | row for ticker, row in stored(engine, markets, "ticker").items()}
    history = {row["ticker"]: row for row in pq.read_table(lake / "price_history").to_pylist()} if lake else {}
    compared = 0
    for market in sent:
        row = rows[market["ticker"]]
        for field, text in market.items():
            if not isinstance(text, str) or field in RETIRED:
                continue
            if field.endswith("_dollars"):
                name, value = (
                    field.removesuffix("_dollars"),
                    dollars(row[f"{field.removesuffix('_dollars')}_microdollars"]),
                )
            elif field.endswith("_fp"):
                name, value = field.removesuffix("_fp"), contracts(row[f"{field.removesuffix('_fp')}_centicontracts"])
            else:
                continue
            assert value == Decimal(text), (market["ticker"], field)
            compared += 1
            if lake and name in history[market["ticker"]]:
                assert history[market["ticker"]][name] == Decimal(text), (market["ticker"], field)
                compared += 1
    return compared

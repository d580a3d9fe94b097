"""Records of settled markets as rows of ``settled_markets``, by the same rules as the rows of the warehouse.

The values of the market are converted as an ingest converts them. Those of its event and its series come from the
warehouse, or from the exchange if the warehouse does not have them. A row depends on the records only and not on the
time of the read, so that reading a market again gives the same row.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import sqlalchemy as sa

from kalshi_pipelines.bookkeeping.quarantine import UnstorableRecord
from kalshi_pipelines.bookkeeping.stamps import Stamp
from kalshi_pipelines.ingest.markets import QUOTE_ROW_COLUMNS, SETTLEMENT_COLUMNS, MarketChange, convert_markets
from kalshi_pipelines.ingest.rows import (
    EVENT_ROWS,
    MARKET_ROWS,
    SERIES_ROWS,
    RowLayout,
    text_digest,
)
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import decode_records, record_key
from kalshi_pipelines.kalshi.errors import ApiError
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.kalshi.records import Event, Market, Series
from kalshi_pipelines.lake.archived_columns import SETTLED_MARKET
from kalshi_pipelines.lake.datasets import SETTLED_MARKETS
from kalshi_pipelines.upkeep.archive_rows import batch_of
from kalshi_pipelines.warehouse.bulk import wanted_keys
from kalshi_pipelines.warehouse.tables import SHARED_TEXTS, events, series, settlements

Values = Mapping[str, Any]

_STAMP: Final = Stamp(0, 0)
_NOTHING: Final[Values] = {}
#: Columns that say when this program saw something. A market of the archive was never seen live.
_NEVER_SEEN: Final = ("first_seen_us", "observed_us")
_UNKNOWN_SERIES: Final = (400, 404)


@dataclass(frozen=True)
class SettledRows:
    """The settled markets of a page.

    Attributes:
        rows: Rows of ``settled_markets`` as columns by name, in any order.
        settled_us: Times of all settlements of the page, of markets that were left out as well.
        refused: Records that cannot be stored.
        left_out: The number of markets that the warehouse has, and that upkeep archives.
    """

    rows: pa.RecordBatch
    settled_us: list[int]
    refused: list[UnstorableRecord]
    left_out: int


@dataclass
class SettledRowReader:
    """Converts pages of settled markets, and remembers series."""

    client: KalshiClient
    engine: sa.Engine
    _series: dict[str, Values] = field(default_factory=dict)

    def convert(self, page: Page, start_us: int, end_us: int) -> SettledRows:
        """Return the markets of a page that settled from ``start_us`` on and before ``end_us``."""
        raws = {key: raw for raw in page.raw_records if (key := record_key(Market, raw))}
        unreadable = [raw for raw in page.raw_records if not record_key(Market, raw)]
        known = self._in_warehouse(raws)
        wanted = [raw for ticker, raw in raws.items() if ticker not in known]
        converted = convert_markets(self.engine, wanted + unreadable, dict.fromkeys(raws, b""), _STAMP)
        changes = [each.row for each in converted.storable if isinstance(each.row, MarketChange)]
        settled = [change for change in changes if _settled_us(change) is not None]
        refused = list(converted.rejected)
        refused += [
            UnstorableRecord(bytes(raws[change.ticker]), "the record has no settlement value or no time", change.ticker)
            for change in changes
            if _settled_us(change) is None
        ]
        within = [change for change in settled if start_us <= (_settled_us(change) or 0) < end_us]
        times = [time_us for change in settled if (time_us := _settled_us(change)) is not None]
        return SettledRows(self._batch(within), times + list(known.values()), refused, len(known))

    def _in_warehouse(self, tickers: Collection[str]) -> dict[str, int]:
        with self.engine.connect() as connection:
            wanted = wanted_keys(list(tickers), connection.dialect.name)
            query = sa.select(settlements.c.ticker, settlements.c.settled_us)
            rows = connection.execute(query.join_from(wanted, settlements, settlements.c.ticker == wanted.c.value))
            return dict(rows.all())

    def _batch(self, changes: Sequence[MarketChange]) -> pa.RecordBatch:
        of_events = self._events({_facts(change)["event_ticker"] for change in changes})
        records = []
        for change in changes:
            facts, settlement = _facts(change), _settlement(change)
            event = of_events.get(facts["event_ticker"], _NOTHING)
            texts = {text_digest(text): text for text in change.texts}
            sources: dict[str, Values] = {
                "settlements": settlement,
                "markets": facts,
                "quotes": dict(zip(QUOTE_ROW_COLUMNS, change.quote, strict=True)),
                "events": event,
                "series": self._series_of(event.get("series_ticker")),
                # The last change of the record, so that a corrected record replaces the earlier one.
                "": {"recorded_us": max(settlement["settled_us"], facts["updated_time_us"] or 0)},
                **{name: {"text": texts.get(facts[f"{name}_digest"])} for name in SHARED_TEXTS},
            }
            records.append([_value(sources[one.table], one.column) for one in SETTLED_MARKET])
        return batch_of(SETTLED_MARKETS.schema, records)

    def _events(self, tickers: Collection[str]) -> dict[str, Values]:
        found = self._stored(events, "event_ticker", tickers)
        missing = sorted(set(tickers) - found.keys())
        for is_combo in (False, True):
            if missing:
                pages = self.client.event_pages(tickers=missing, combos=is_combo)
                found |= _decoded(Event, EVENT_ROWS, "event_ticker", pages)
                missing = sorted(set(missing) - found.keys())
        return found

    def _series_of(self, ticker: str | None) -> Values:
        if ticker is None:
            return _NOTHING
        if ticker not in self._series:
            found = self._stored(series, "ticker", [ticker])
            if not found:
                with suppress(_Unknown):
                    found = _decoded(Series, SERIES_ROWS, "ticker", [self._ask_series(ticker)])
            self._series[ticker] = found.get(ticker, _NOTHING)
        return self._series[ticker]

    def _ask_series(self, ticker: str) -> Page:
        try:
            return self.client.series_page(ticker)
        except ApiError as error:
            if error.status in _UNKNOWN_SERIES:
                raise _Unknown from None
            raise

    def _stored(self, table: sa.Table, key: str, tickers: Collection[str]) -> dict[str, Values]:
        with self.engine.connect() as connection:
            wanted = wanted_keys(sorted(tickers), connection.dialect.name)
            query = sa.select(table).join_from(wanted, table, table.c[key] == wanted.c.value)
            rows = connection.execute(query.where(~table.c.is_placeholder)).mappings()
            return {row[key]: dict(row) for row in rows}


class _Unknown(Exception):
    """The exchange does not know the series."""


def _facts(change: MarketChange) -> Values:
    return dict(zip(MARKET_ROWS.columns, change.facts or (), strict=True))


def _settled_us(change: MarketChange) -> int | None:
    settled_us: int | None = _settlement(change)["settled_us"] if change.settlement else None
    return settled_us


def _settlement(change: MarketChange) -> Values:
    return dict(zip(SETTLEMENT_COLUMNS, change.settlement or (), strict=True))


def _value(values: Values, column: str) -> Any:  # noqa: ANN401  # the value of any column
    return None if column in _NEVER_SEEN else values.get(column)


def _decoded(kind: type[Any], layout: RowLayout[Any], key: str, pages: Iterable[Page]) -> dict[str, Values]:
    found: dict[str, Values] = {}
    for page in pages:
        for each in decode_records(kind, page.raw_records).records:
            row = layout.row(each.record, b"", None, _STAMP)
            found[getattr(each.record, key)] = dict(zip(layout.columns, row, strict=True))
    return found

"""Fee changes are recorded version by version, and the fees of any moment follow from them."""

from decimal import Decimal
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.fees.formulas import Fees
from kalshi_pipelines.history.fees.recording import FeeChangesRefused, RecordedFees, record_fee_schedule
from kalshi_pipelines.history.fees.steps import load_fee_schedule
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.errors import KalshiError
from kalshi_pipelines.units import HOUR_US, instant
from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines_tests.support.kalshi.transports import scripted_transport
from kalshi_pipelines_tests.support.upkeep.warehouses import add_event, insert
from kalshi_pipelines_tests.support.warehouse.rows import SERIES

NOW = 1_790_000_000_000_000
GAME = "KXMLBGAME-26SEP271510CLEKC"
HALF = Fees("quadratic_with_maker_fees", Decimal("0.5"))
FULL = Fees("quadratic_with_maker_fees", Decimal(1))


def at(us: int) -> str:
    return instant(us).isoformat().replace("+00:00", "Z")


class Exchange:
    """An exchange with lists of fee changes. A test changes the lists and the time."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.now_us = NOW
        self.of_series: list[dict[str, Any]] = []
        self.of_events: list[dict[str, Any]] = []
        self.status = 200

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/series/fee_changes"):
            return httpx.Response(200, json={"series_fee_change_arr": self.of_series})
        return httpx.Response(self.status, json={"event_fee_changes": self.of_events, "cursor": ""})

    def record(self) -> RecordedFees:
        client = KalshiClient(scripted_transport(self.engine, self.answer))
        try:
            return record_fee_schedule(client, self.engine, lambda: self.now_us)
        finally:
            client.close()

    def change_series(self, change_id: str, effective_us: int, multiplier: Any, fee_type: str = "quadratic") -> None:
        self.of_series.append(
            {
                "id": change_id,
                "series_ticker": SERIES["ticker"],
                "fee_type": fee_type,
                "fee_multiplier": multiplier,
                "scheduled_ts": at(effective_us),
            }
        )

    def change_event(self, change_id: str, effective_us: int, multiplier: Any, fee_type: str | None = None) -> None:
        self.of_events.append(
            {
                "id": change_id,
                "event_ticker": GAME,
                "series_ticker": SERIES["ticker"],
                "fee_type_override": fee_type,
                "fee_multiplier_override": multiplier,
                "scheduled_ts": at(effective_us),
            }
        )

    def versions(self) -> list[tuple[Any, ...]]:
        columns = tables.fee_changes.c
        query = sa.select(columns.change_id, columns.effective_us, columns.fee_multiplier, columns.withdrawn_us)
        with self.engine.connect() as connection:
            rows = connection.execute(query.order_by(columns.recorded_us, columns.change_id))
            return [tuple(row) for row in rows]


@pytest.fixture
def exchange(engine: sa.Engine) -> Exchange:
    insert(engine, tables.ingest_runs, {"status": "succeeded", "finished_us": NOW})
    fees = {"fee_type": HALF.fee_type, "fee_multiplier": "0.5", "recorded_us": NOW - 5}
    insert(engine, tables.series, {"ticker": SERIES["ticker"], **fees})
    return Exchange(engine)


def fee_at(exchange: Exchange, event: str | None, time_us: int) -> Fees | None:
    return load_fee_schedule(exchange.engine).fee_at(SERIES["ticker"], event, time_us)


def test_fees_without_changes_are_those_that_were_seen(exchange: Exchange) -> None:
    assert exchange.record() == RecordedFees(0, 0, 0, 0, 0, 1)
    assert fee_at(exchange, None, 0) == HALF
    assert fee_at(exchange, GAME, NOW + HOUR_US) == HALF
    assert exchange.record() == RecordedFees(0, 0, 0, 0, 0, 0)


def test_event_has_its_own_fees_from_the_first_pitch_until_they_are_cleared(exchange: Exchange) -> None:
    pitch = NOW + HOUR_US
    exchange.change_event("a", pitch, 1)
    exchange.change_event("b", pitch + HOUR_US, None)
    exchange.record()
    moments = (pitch - 1, pitch, pitch + HOUR_US - 1, pitch + HOUR_US)
    assert [fee_at(exchange, GAME, moment) for moment in moments] == [HALF, FULL, FULL, HALF]
    assert fee_at(exchange, "another event", pitch) == HALF


def test_fees_before_the_first_known_change_are_unknown_and_not_guessed(exchange: Exchange) -> None:
    exchange.change_series("a", NOW - HOUR_US, 0.5, HALF.fee_type)
    exchange.record()
    assert fee_at(exchange, None, NOW - HOUR_US - 1) is None
    assert fee_at(exchange, None, NOW - HOUR_US) == HALF


def test_change_that_takes_effect_later_leaves_the_seen_fees_before_it(exchange: Exchange) -> None:
    exchange.change_series("a", NOW + HOUR_US, 2)
    exchange.record()
    assert fee_at(exchange, None, NOW) == HALF
    assert fee_at(exchange, None, NOW + HOUR_US) == Fees("quadratic", Decimal(2))


def test_withdrawn_change_is_recorded_and_no_longer_counts(exchange: Exchange) -> None:
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.now_us += 7
    assert exchange.record().withdrawn == 1
    assert ("a", NOW + HOUR_US, "1", NOW + 7) in exchange.versions()
    assert fee_at(exchange, GAME, NOW + HOUR_US) == HALF
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.now_us += 7
    assert exchange.record().added == 1
    assert fee_at(exchange, GAME, NOW + HOUR_US) == FULL


def test_moved_change_keeps_its_earlier_version(exchange: Exchange) -> None:
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.change_event("a", NOW + 2 * HOUR_US, 1)
    exchange.now_us += 7
    assert exchange.record() == RecordedFees(0, 1, 1, 1, 0, 0)
    assert [row for row in exchange.versions() if row[0] == "a"] == [
        ("a", NOW + HOUR_US, "1", NOW + 7),
        ("a", NOW + 2 * HOUR_US, "1", None),
    ]
    assert [fee_at(exchange, GAME, NOW + hours * HOUR_US) for hours in (1, 2)] == [HALF, FULL]


def test_change_moved_while_the_clock_stands_still_has_two_versions(exchange: Exchange) -> None:
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.change_event("a", NOW + HOUR_US, 2)
    exchange.now_us -= 1_000
    exchange.record()
    assert len([row for row in exchange.versions() if row[0] == "a"]) == 2
    assert fee_at(exchange, GAME, NOW + HOUR_US) == Fees(HALF.fee_type, Decimal(2))


def test_change_that_took_effect_stays_although_it_is_no_longer_listed(exchange: Exchange) -> None:
    exchange.change_event("a", NOW - HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.now_us += 7
    assert exchange.record().withdrawn == 0
    assert fee_at(exchange, GAME, NOW) == FULL


def test_number_written_in_another_way_is_no_new_version(exchange: Exchange) -> None:
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.change_event("a", NOW + HOUR_US, "1.00")
    assert exchange.record().added == 0


def test_unreadable_change_is_reported_and_withdraws_nothing(exchange: Exchange) -> None:
    exchange.change_event("a", NOW + HOUR_US, 1)
    exchange.record()
    exchange.of_events.clear()
    exchange.change_event("b", NOW + HOUR_US, "NaN")
    exchange.change_event("c", NOW + 2 * HOUR_US, 2)
    with pytest.raises(FeeChangesRefused, match="b: "):
        exchange.record()
    assert [fee_at(exchange, GAME, NOW + hours * HOUR_US) for hours in (1, 2)] == [
        FULL,
        Fees(HALF.fee_type, Decimal(2)),
    ]


def test_list_that_cannot_be_read_records_nothing(exchange: Exchange, no_back_off: None) -> None:
    exchange.change_series("a", NOW + HOUR_US, 2)
    exchange.status = 500
    with pytest.raises(KalshiError):
        exchange.record()
    assert exchange.versions() == []


def test_fees_of_a_record_that_no_change_explains_are_a_step_of_their_own(exchange: Exchange) -> None:
    exchange.record()
    with writing(exchange.engine) as connection:
        connection.execute(sa.update(tables.series).values(fee_multiplier="1", recorded_us=NOW + 9))
    exchange.now_us = NOW + 10
    assert exchange.record().seen == 1
    assert [fee_at(exchange, None, NOW + offset) for offset in (8, 9)] == [HALF, FULL]
    assert exchange.record().seen == 0


def test_override_of_an_event_without_a_change_is_seen(exchange: Exchange) -> None:
    add_event(exchange.engine, GAME, NOW, fee_type_override=None, fee_multiplier_override="1")
    assert exchange.record().seen == 2
    assert fee_at(exchange, GAME, NOW) == FULL


def test_undocumented_type_of_fees_is_recorded(exchange: Exchange) -> None:
    exchange.change_series("a", NOW - HOUR_US, 1, "margin_market_maker_program_fees")
    exchange.record()
    assert fee_at(exchange, None, NOW - HOUR_US) == Fees("margin_market_maker_program_fees", Decimal(1))

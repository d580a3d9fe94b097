"""Recording fee changes: the exchange's lists of changes, and the fees that series and events have now.

No version of a change is replaced. A change that the exchange moved, changed or withdrew keeps its row with the time at
which it was first missing, and a new version is another row. A change that took effect stays, even if the exchange no
longer lists it. Nothing counts as withdrawn if a list could not be read as a whole.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.history.fees.steps import ALWAYS_US, FeeSchedule, load_fee_schedule
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.kalshi.decoding import DecodedRecords, decode_records
from kalshi_pipelines.kalshi.fee_change_records import EventFeeChange, SeriesFeeChange
from kalshi_pipelines.kalshi.pagination import Page
from kalshi_pipelines.units import microseconds, now_us
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import hold_work_lock
from kalshi_pipelines.warehouse.tables import events, fee_changes, series

FEE_SCHEDULE_WORK: Final = "fee schedule"
SEEN: Final = "seen"
_ROWS_AT_ONCE: Final = 5_000


class FeeChangesRefused(ExpectedError):
    """Some of the exchange's fee changes could not be read. All others were recorded."""


@dataclass(frozen=True)
class FeeChangeVersion:
    """One version of a fee change. The attributes are those of the table ``fee_changes``."""

    scope: str
    ticker: str
    change_id: str
    series_ticker: str | None
    effective_us: int
    fee_type: str | None
    fee_multiplier: str | None
    source: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The change, whatever its version."""
        return self.scope, self.ticker, self.change_id


@dataclass(frozen=True)
class RecordedFees:
    """The result of recording fee changes.

    Attributes:
        series_changes: Fee changes of series that the exchange lists.
        event_changes: Fee changes of events that the exchange lists.
        added: Versions that are new.
        moved: Versions that another version of the same change replaced.
        withdrawn: Changes that the exchange withdrew before they took effect.
        seen: Fees of series and events that no listed change explains.
    """

    series_changes: int
    event_changes: int
    added: int
    moved: int
    withdrawn: int
    seen: int


@dataclass
class _Listed:
    changes: list[FeeChangeVersion] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def record_fee_schedule(client: KalshiClient, engine: sa.Engine, clock: Callable[[], int] = now_us) -> RecordedFees:
    """Read the exchange's fee changes, record what is new, and record fees that no change explains.

    Args:
        client: The client of the exchange.
        engine: The warehouse. The present fees are those of its series and events.
        clock: Returns the present time in microseconds since 1970 UTC.

    Raises:
        FeeChangesRefused: Some changes could not be read. All others were recorded, and none counts as withdrawn.
        KalshiError: A list could not be read. Nothing was recorded.
    """
    with hold_work_lock(engine, FEE_SCHEDULE_WORK):
        of_series = _listed(client.fee_changes.of_series(), SeriesFeeChange, _series_change)
        of_events = _listed(client.fee_changes.of_events(), EventFeeChange, _event_change)
        listed = _Listed(of_series.changes + of_events.changes, of_series.refused + of_events.refused)
        recorded_us = clock()
        with writing(engine) as connection:
            added, moved, withdrawn = _store(connection, listed, recorded_us)
        seen = _record_seen(engine, recorded_us)
    if listed.refused:
        raise FeeChangesRefused(
            f"{len(listed.refused)} fee changes of the exchange could not be read. The first: {listed.refused[0]}",
            "The other changes were recorded. If the error persists, the exchange changed its format.",
        )
    return RecordedFees(len(of_series.changes), len(of_events.changes), added, moved, withdrawn, seen)


def _series_change(record: SeriesFeeChange) -> FeeChangeVersion:
    effective_us, multiplier = microseconds(record.scheduled_ts), _text(record.fee_multiplier)
    return FeeChangeVersion(
        "series", record.series_ticker, record.id, None, effective_us, record.fee_type, multiplier, "scheduled"
    )


def _event_change(record: EventFeeChange) -> FeeChangeVersion:
    effective_us, multiplier = microseconds(record.scheduled_ts), _text(record.fee_multiplier_override)
    ticker, kind = record.event_ticker, record.fee_type_override
    return FeeChangeVersion(
        "event", ticker, record.id, record.series_ticker, effective_us, kind, multiplier, "scheduled"
    )


def _text(number: Decimal | None) -> str | None:
    """Return a number as plain digits without trailing zeros, so that 1, 1.0 and 1E0 are the same version."""
    if number is None:
        return None
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _listed(pages: Iterable[Page], kind: type, change_of: Callable[..., FeeChangeVersion]) -> _Listed:
    found: dict[tuple[str, str, str], FeeChangeVersion] = {}
    refused: list[str] = []
    for page in pages:
        decoded: DecodedRecords[Any] = decode_records(kind, page.raw_records)
        refused += [f"{each.key or 'without an id'}: {each.reason}" for each in decoded.rejected]
        for each in decoded.records:
            change = change_of(each.record)
            if not (change.ticker and change.change_id) or change.effective_us < 0:
                refused.append(f"{change.change_id or 'without an id'}: it names no ticker, or its time is before 1970")
            else:
                found[change.key] = change
    return _Listed(list(found.values()), refused)


def _standing(connection: sa.Connection) -> dict[FeeChangeVersion, int]:
    """Return the versions that stand, with the times at which they were recorded."""
    names = FeeChangeVersion.__dataclass_fields__
    query = sa.select(*(fee_changes.c[name] for name in names), fee_changes.c.recorded_us)
    rows = connection.execute(query.where(fee_changes.c.withdrawn_us.is_(None)))
    return {FeeChangeVersion(*row[:-1]): row[-1] for row in rows}


def _store(connection: sa.Connection, listed: _Listed, recorded_us: int) -> tuple[int, int, int]:
    standing = _standing(connection)
    new = [change for change in listed.changes if change not in standing]
    changed_keys = {change.key for change in new}
    listed_keys = {change.key for change in listed.changes}
    moved = [change for change in standing if change.key in changed_keys]
    withdrawn = [
        change
        for change in standing
        if not listed.refused
        and change.source == "scheduled"
        and change.key not in listed_keys
        and change.effective_us > recorded_us
    ]
    for change in (*moved, *withdrawn):
        _withdraw(connection, change, standing[change], recorded_us)
    # A clock that was set back must not make two versions with the same time.
    latest = max([recorded_us, *(standing[change] + 1 for change in moved)])
    _add(connection, new, latest)
    return len(new), len(moved), len(withdrawn)


def _withdraw(connection: sa.Connection, change: FeeChangeVersion, version_us: int, now: int) -> None:
    columns = fee_changes.c
    scope, ticker, change_id = change.key
    which = (columns.scope == scope, columns.ticker == ticker, columns.change_id == change_id)
    statement = sa.update(fee_changes).where(*which, columns.recorded_us == version_us)
    connection.execute(statement.values(withdrawn_us=max(now, version_us)))


def _add(connection: sa.Connection, changes: list[FeeChangeVersion], recorded_us: int) -> None:
    rows = [{**vars(change), "recorded_us": recorded_us} for change in changes]
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        connection.execute(sa.insert(fee_changes), rows[first : first + _ROWS_AT_ONCE])


def _record_seen(engine: sa.Engine, now: int) -> int:
    """Record the present fees of series and events that no known change explains.

    If no change took effect yet, the fees count from the beginning. They are the step before the first known change.
    Otherwise they count from the time at which they were seen.
    """
    schedule = load_fee_schedule(engine)
    new: list[FeeChangeVersion] = []
    with engine.connect().execution_options(yield_per=_ROWS_AT_ONCE) as connection:
        new += _seen_series(connection, schedule, now)
        new += _seen_events(connection, schedule, now)
    if new:
        with writing(engine) as connection:
            _add(connection, [_with_free_id(connection, change) for change in new], now)
    return len(new)


def _with_free_id(connection: sa.Connection, change: FeeChangeVersion) -> FeeChangeVersion:
    """Give fees that were seen later an id of their own, so that each stands beside the earlier ones."""
    return change if change.effective_us == ALWAYS_US else replace(change, change_id=f"{SEEN} {change.effective_us}")


def _seen_series(connection: sa.Connection, schedule: FeeSchedule, now: int) -> Iterator[FeeChangeVersion]:
    columns = series.c
    query = sa.select(columns.ticker, columns.fee_type, columns.fee_multiplier, columns.recorded_us)
    for ticker, fee_type, multiplier, seen_us in connection.execute(query.where(~columns.is_placeholder)):
        steps = schedule.series.get(ticker, ())
        exact = Decimal(multiplier)
        seen_at = min(seen_us, now)
        before = [step for step in steps if step.effective_us <= seen_at]
        # A change that took effect after the record was read explains nothing about the record.
        if before and (before[-1].fee_type, before[-1].multiplier) == (fee_type, exact):
            continue
        effective = seen_at if before else ALWAYS_US
        yield FeeChangeVersion("series", ticker, SEEN, None, effective, fee_type, _text(exact), "seen")


def _seen_events(connection: sa.Connection, schedule: FeeSchedule, now: int) -> Iterator[FeeChangeVersion]:
    columns = events.c
    names = ("event_ticker", "series_ticker", "fee_type_override", "fee_multiplier_override", "recorded_us")
    query = sa.select(*(columns[name] for name in names)).where(~columns.is_placeholder)
    # An event without changes and without overrides has nothing to record. Most events are of this kind.
    has_fees = sa.or_(columns.fee_type_override.is_not(None), columns.fee_multiplier_override.is_not(None))
    changed = sa.select(fee_changes.c.ticker).where(fee_changes.c.scope == "event")
    query = query.where(sa.or_(has_fees, columns.event_ticker.in_(changed)))
    for ticker, series_ticker, fee_type, multiplier, seen_us in connection.execute(query):
        exact = None if multiplier is None else Decimal(multiplier)
        seen_at = min(seen_us, now)
        before = [step for step in schedule.events.get(ticker, ()) if step.effective_us <= seen_at]
        known = (before[-1].fee_type, before[-1].multiplier) if before else (None, None)
        if known != (fee_type, exact):
            effective = seen_at if before else ALWAYS_US
            yield FeeChangeVersion("event", ticker, SEEN, series_ticker, effective, fee_type, _text(exact), "seen")

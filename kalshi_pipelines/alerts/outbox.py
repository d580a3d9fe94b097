"""Alerts on their way, in the warehouse: each is put in once, and delivered once to each channel.

A row of ``alert_deliveries`` is one alert for one channel. A process claims what is due for a channel, sends it as one
message, and marks it; a claim whose process ended without a word is taken over after a time-out, as a repeat.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from kalshi_pipelines.alerts.messages import Message
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import DAY_US, HOUR_US, MINUTE_US
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.locks import one_at_a_time
from kalshi_pipelines.warehouse.tables import alert_deliveries, alerts

#: Messages a channel gets in an hour; what is due beyond that waits, and becomes one.
MOST_MESSAGES_AN_HOUR: Final = 10
#: Far longer than a channel may take to send.
CLAIM_TIME_OUT_US: Final = 10 * MINUTE_US
FIRST_BACK_OFF_US: Final = MINUTE_US
LONGEST_BACK_OFF_US: Final = 6 * HOUR_US
_ATTEMPTS_TO_LONGEST: Final = 10
#: An alert that could not be delivered for so long is given up.
GIVEN_UP_AFTER_US: Final = 7 * DAY_US
_SEVERITIES: Final = (AlertSeverity.BREAKING, AlertSeverity.RISKY, AlertSeverity.ADDITIVE)
_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

AlertOrigin = Literal["finding", "summary", "run_failure", "overdue", "halt"]


@dataclass(frozen=True)
class Alert:
    """A message to be delivered once.

    Attributes:
        key: What it is about; a second alert of the same key is none.
        origin: What made it: a finding, a summary of findings, a failed run, or no run for too long.
        severity: How bad it is; a failed run is breaking.
        message: What it says.
        finding_id: The finding it is about, for origin ``finding``.
    """

    key: str
    origin: AlertOrigin
    severity: AlertSeverity
    message: Message
    finding_id: int | None = None


@dataclass(frozen=True)
class Claim:
    """What one process, and no other, is to send to a channel now, as one message.

    Attributes:
        message_id: Tells this message from others; a repeat has the same.
        channel: The channel's name.
        messages: What the alerts in it say, the gravest first.
        claimed_us: When it was claimed.
        interrupted_us: When it was claimed before, by a process that ended without a word; None if it never was.
    """

    message_id: str
    channel: str
    messages: tuple[Message, ...]
    claimed_us: int
    interrupted_us: int | None = None


def put(connection: sa.Connection, alert: Alert, now_us: int) -> bool:
    """Put an alert into the outbox, in the caller's transaction; False if its key was put in before."""
    statement = _INSERTS[connection.dialect.name](alerts).on_conflict_do_nothing(index_elements=["message_key"])
    statement = statement.returning(alerts.c.alert_id)
    values = {
        "message_key": alert.key,
        "origin": alert.origin,
        "severity": alert.severity.value,
        "finding_id": alert.finding_id,
        "title": alert.message.title,
        "body": alert.message.body,
        "state": "pending",
        "created_us": now_us,
    }
    return connection.execute(statement, values).first() is not None


def claim(engine: sa.Engine, channel: str, minimum: AlertSeverity, now_us: int) -> Claim | None:
    """Claim all that is due for a channel; None if nothing is, or the channel has had enough messages for this hour."""
    with writing(engine) as connection:
        one_at_a_time(connection, "alerts")
        _skip_below(connection, minimum, now_us)
        _fan_out(connection, channel, now_us)
        interrupted = _interrupted(connection, channel, now_us)
        if interrupted:
            return _take(connection, channel, interrupted, now_us)
        if _sent_this_hour(connection, channel, now_us) >= MOST_MESSAGES_AN_HOUR:
            return None
        due = _due(connection, channel, now_us)
        if not due:
            return None
        return _take(connection, channel, due, now_us)


def mark_sent(engine: sa.Engine, claim: Claim, now_us: int) -> None:
    """Write down that a claimed message was sent."""
    _end(engine, claim, state="sent", sent_us=now_us, claimed_us=None, error=None)


def mark_failed(engine: sa.Engine, claim: Claim, error: str, now_us: int) -> None:
    """Write down that a claimed message could not be sent; it is due again after a back-off that doubles."""
    attempts = alert_deliveries.c.attempts
    due = sa.case(
        *[
            (attempts <= attempt, sa.literal(now_us + back_off_us(attempt), sa.BigInteger))
            for attempt in range(1, _ATTEMPTS_TO_LONGEST)
        ],
        else_=sa.literal(now_us + LONGEST_BACK_OFF_US, sa.BigInteger),
    )
    _end(engine, claim, state="pending", next_attempt_us=due, claimed_us=None, message_id=None, error=error)


def back_off_us(attempt: int) -> int:
    """How long after an attempt the next one is due."""
    return min(FIRST_BACK_OFF_US << (attempt - 1), LONGEST_BACK_OFF_US)


def finish(engine: sa.Engine, channels: Collection[str], now_us: int) -> None:
    """End alerts every channel has got; give up those that are too old and those for channels that are no more."""
    with writing(engine) as connection:
        one_at_a_time(connection, "alerts")
        waiting = sa.select(alerts.c.alert_id).where(alerts.c.state == "pending")
        delivery = alert_deliveries.c
        unsent = sa.and_(delivery.alert_id.in_(waiting), delivery.state == "pending")
        _give_up(connection, sa.and_(unsent, delivery.channel.not_in(channels)), "the channel is no longer configured")
        old = waiting.where(alerts.c.created_us < now_us - GIVEN_UP_AFTER_US)
        reason = sa.func.coalesce(delivery.error, "it could not be sent for a week")
        _give_up(connection, sa.and_(unsent, delivery.alert_id.in_(old)), reason)
        of_alert = sa.select(delivery.alert_id).where(delivery.alert_id == alerts.c.alert_id)
        done = sa.and_(
            alerts.c.state == "pending",
            sa.exists(of_alert),
            ~sa.exists(of_alert.where(delivery.state.in_(("pending", "sending")))),
            *[sa.exists(of_alert.where(delivery.channel == channel)) for channel in channels],
        )
        state = sa.case((sa.exists(of_alert.where(delivery.state == "failed")), "failed"), else_="sent")
        connection.execute(sa.update(alerts).where(done).values(state=state, finished_us=now_us))


def count_waiting(engine: sa.Engine) -> int:
    """How many alerts are still to be delivered to some channel."""
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).select_from(alerts).where(alerts.c.state == "pending")
        return connection.scalar(count) or 0


def _skip_below(connection: sa.Connection, minimum: AlertSeverity, now_us: int) -> None:
    below = [severity.value for severity in _SEVERITIES[_SEVERITIES.index(minimum) + 1 :]]
    if below:
        never_tried = ~sa.exists(
            sa.select(alert_deliveries.c.alert_id).where(alert_deliveries.c.alert_id == alerts.c.alert_id)
        )
        connection.execute(
            sa.update(alerts)
            .where(alerts.c.state == "pending", alerts.c.severity.in_(below), never_tried)
            .values(state="skipped", finished_us=now_us)
        )


def _fan_out(connection: sa.Connection, channel: str, now_us: int) -> None:
    there = sa.select(alert_deliveries.c.alert_id).where(
        alert_deliveries.c.alert_id == alerts.c.alert_id, alert_deliveries.c.channel == channel
    )
    new = sa.select(
        alerts.c.alert_id, sa.literal(channel), sa.literal("pending"), sa.literal(0), sa.literal(now_us)
    ).where(
        alerts.c.state == "pending",
        alerts.c.created_us >= now_us - GIVEN_UP_AFTER_US,
        ~sa.exists(there),
    )
    columns = ["alert_id", "channel", "state", "attempts", "next_attempt_us"]
    connection.execute(sa.insert(alert_deliveries).from_select(columns, new))


def _interrupted(connection: sa.Connection, channel: str, now_us: int) -> Sequence[sa.Row[Any]]:
    """The deliveries of one claim that timed out."""
    delivery = alert_deliveries.c
    oldest = connection.scalar(
        sa.select(delivery.message_id)
        .where(
            delivery.channel == channel,
            delivery.state == "sending",
            delivery.claimed_us < now_us - CLAIM_TIME_OUT_US,
        )
        .order_by(delivery.claimed_us, delivery.alert_id)
        .limit(1)
    )
    if oldest is None:
        return []
    return connection.execute(_with_text().where(delivery.channel == channel, delivery.message_id == oldest)).all()


def _due(connection: sa.Connection, channel: str, now_us: int) -> Sequence[sa.Row[Any]]:
    delivery = alert_deliveries.c
    due = _with_text().where(
        delivery.channel == channel, delivery.state == "pending", delivery.next_attempt_us <= now_us
    )
    return connection.execute(due).all()


def _with_text() -> sa.Select[Any]:
    return (
        sa.select(alert_deliveries, alerts.c.title, alerts.c.body, alerts.c.severity)
        .join_from(alert_deliveries, alerts)
        .order_by(alert_deliveries.c.alert_id)
    )


def _sent_this_hour(connection: sa.Connection, channel: str, now_us: int) -> int:
    delivery = alert_deliveries.c
    count = sa.select(sa.func.count(delivery.message_id.distinct())).where(
        delivery.channel == channel, delivery.sent_us > now_us - HOUR_US
    )
    return connection.scalar(count) or 0


def _take(connection: sa.Connection, channel: str, rows: Sequence[sa.Row[Any]], now_us: int) -> Claim:
    message_id = rows[0].message_id or uuid.uuid4().hex
    connection.execute(
        sa.update(alert_deliveries)
        .where(
            alert_deliveries.c.channel == channel,
            alert_deliveries.c.alert_id.in_([row.alert_id for row in rows]),
        )
        .values(state="sending", claimed_us=now_us, message_id=message_id, attempts=alert_deliveries.c.attempts + 1)
    )
    gravest_first = sorted(rows, key=lambda row: _SEVERITIES.index(AlertSeverity(row.severity)))
    messages = tuple(Message(row.title, row.body) for row in gravest_first)
    return Claim(message_id, channel, messages, now_us, interrupted_us=rows[0].claimed_us)


def _end(engine: sa.Engine, claim: Claim, **values: Any) -> None:  # noqa: ANN401  # values of columns
    delivery = alert_deliveries.c
    with writing(engine) as connection:
        # Not if the claim was taken over meanwhile: whoever took it over says how it ended.
        connection.execute(
            sa.update(alert_deliveries)
            .where(
                delivery.channel == claim.channel,
                delivery.message_id == claim.message_id,
                delivery.state == "sending",
                delivery.claimed_us == claim.claimed_us,
            )
            .values(**values)
        )


def _give_up(connection: sa.Connection, which: sa.ColumnElement[bool], reason: Any) -> None:  # noqa: ANN401
    connection.execute(sa.update(alert_deliveries).where(which).values(state="failed", error=reason))

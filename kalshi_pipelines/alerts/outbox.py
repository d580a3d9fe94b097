"""The outbox of alerts in the warehouse. Each alert is stored once, and delivered once to each channel.

A row of ``alert_deliveries`` is one alert for one channel. A process claims the alerts that are due for a channel,
sends them as one message, and records the result. A claim without a result times out. Another process then sends the
message again, marked as a possible repeat.
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
from kalshi_pipelines.warehouse.locks import serialize_transactions
from kalshi_pipelines.warehouse.tables import alert_deliveries, alerts

#: The number of messages that a channel may receive in an hour. Further alerts wait and are sent as one message.
MOST_MESSAGES_AN_HOUR: Final = 10
#: If a claim has no result after this time, another process may take the claim over. One attempt to send a message
#: takes far less time, whether it succeeds or fails.
CLAIM_TIME_OUT_US: Final = 10 * MINUTE_US
FIRST_BACK_OFF_US: Final = MINUTE_US
LONGEST_BACK_OFF_US: Final = 6 * HOUR_US
_ATTEMPTS_TO_LONGEST: Final = 10
#: The age at which an undelivered alert is given up.
GIVEN_UP_AFTER_US: Final = 7 * DAY_US
_SEVERITIES: Final = (AlertSeverity.BREAKING, AlertSeverity.RISKY, AlertSeverity.ADDITIVE)
_INSERTS: Final[dict[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}

AlertOrigin = Literal["finding", "summary", "run_failure", "overdue", "halt"]


@dataclass(frozen=True)
class Alert:
    """A message to be delivered once.

    Attributes:
        key: Unique key of the reported event. A second alert with the same key is not stored.
        origin: The source of the alert: a finding, a summary of findings, a failed run, overdue runs, or a halt.
        severity: The severity of the event. A failed run is breaking.
        message: The text of the alert.
        finding_id: The reported finding, for origin ``finding``.
    """

    key: str
    origin: AlertOrigin
    severity: AlertSeverity
    message: Message
    finding_id: int | None = None


@dataclass(frozen=True)
class Claim:
    """Alerts that a process claimed for a channel. Only this process may now send them, as one message.

    Attributes:
        message_id: Unique id of the message. A repeat of the message has the same id.
        channel: Name of the channel.
        messages: Texts of the claimed alerts, the most severe first.
        claimed_us: Time of the claim, in microseconds since 1970 UTC.
        interrupted_us: Time of an earlier claim whose process ended without recording a result; None without such a
            claim.
    """

    message_id: str
    channel: str
    messages: tuple[Message, ...]
    claimed_us: int
    interrupted_us: int | None = None


def put(connection: sa.Connection, alert: Alert, now_us: int) -> bool:
    """Store an alert in the caller's transaction, and return whether its key is new."""
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
    """Claim all alerts that are due for a channel.

    Return None if no alert is due, or if the channel already received its messages for this hour.
    """
    with writing(engine) as connection:
        serialize_transactions(connection, "alerts")
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
    """Record that a claimed message was sent."""
    _end(engine, claim, state="sent", sent_us=now_us, claimed_us=None, error=None)


def mark_failed(engine: sa.Engine, claim: Claim, error: str, now_us: int) -> None:
    """Record that a claimed message could not be sent.

    The message is due again after a wait that doubles with each attempt.
    """
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
    """Return the microseconds between a failed attempt and the next attempt."""
    return min(FIRST_BACK_OFF_US << (attempt - 1), LONGEST_BACK_OFF_US)


def finish(engine: sa.Engine, channels: Collection[str], now_us: int) -> None:
    """Close alerts that every channel received, and give up deliveries that are too old or have no channel any more."""
    with writing(engine) as connection:
        serialize_transactions(connection, "alerts")
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
    """Return the number of alerts that at least one channel has not received yet."""
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
    """Return the deliveries of the oldest claim that timed out."""
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
        # If another process took the claim over, that process records the result.
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

"""From the outbox to the channels. One channel that fails does not stop the others."""

import logging
from collections.abc import Callable
from dataclasses import dataclass

import sqlalchemy as sa

from kalshi_pipelines.alerts import outbox
from kalshi_pipelines.alerts.channels import AlertChannels, Channel, DeliveryFailed
from kalshi_pipelines.alerts.messages import Message, digest_message, moment, run_failure_message, with_note
from kalshi_pipelines.alerts.outbox import Alert, Claim
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import writing

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class DeliveryResult:
    """What one call of :func:`deliver_pending` did.

    Attributes:
        sent: Messages that were sent; a digest is one.
        failures: Why messages could not be sent, by the channel's name.
        waiting: Alerts that some channel is still to get.
    """

    sent: int
    failures: dict[str, str]
    waiting: int


def deliver_pending(
    engine: sa.Engine,
    channels: AlertChannels,
    minimum: AlertSeverity = AlertSeverity.ADDITIVE,
    clock: Callable[[], int] = now_us,
) -> DeliveryResult:
    """Send what is due. Safe to be called by several processes at once: each alert is sent once to each channel.

    Args:
        engine: A warehouse at head.
        channels: Where to. Without one, alerts wait for a week.
        minimum: Less severe alerts are not sent.
        clock: Tells the time, microseconds since 1970.
    """
    sent, failures = 0, {}
    for channel in channels:
        count, failure = _deliver_to(engine, channel, minimum, clock)
        sent += count
        if failure:
            failures[channel.name] = failure
            logger.warning("Channel %s took no message (%s); it is tried again later.", channel.name, failure)
    if len(channels):
        outbox.finish(engine, channels.names, clock())
    return DeliveryResult(sent, failures, outbox.count_waiting(engine))


def alert_run_failure(
    engine: sa.Engine, channels: AlertChannels, job: str, run_id: str, error: str, failed_us: int
) -> None:
    """Tell people of a failed run: through the outbox, or at once if the warehouse can not be used.

    Args:
        engine: The warehouse; it may be what failed.
        channels: Used only if the warehouse can not take the alert.
        job: The job's name.
        run_id: Dagster's run; a second call about the same run does nothing.
        error: Why it failed; scrubbed here.
        failed_us: When.

    Raises:
        DeliveryFailed: Neither the warehouse nor a channel took it.
    """
    message = run_failure_message(job, run_id, error, failed_us)
    alert = Alert(f"run_failure:{run_id}", "run_failure", AlertSeverity.BREAKING, message)
    try:
        with writing(engine) as connection:
            outbox.put(connection, alert, failed_us)
    except sa.exc.SQLAlchemyError as failure:
        _send_past_the_warehouse(channels, message, failure)


def _send_past_the_warehouse(channels: AlertChannels, message: Message, failure: Exception) -> None:
    note = "The warehouse could not take this alert, so it may come more than once."
    refusals = []
    for channel in channels:
        try:
            channel.send(with_note(message, note))
        except DeliveryFailed as refusal:
            refusals.append(f"{channel.name}: {refusal}")
    if len(refusals) == len(channels):
        told = "; ".join(refusals) or "none is configured, see KALSHI_ALERT_URLS"
        raise DeliveryFailed(
            f"The alert about a failed run reached nobody: the warehouse failed ({type(failure).__name__}), "
            f"and no channel took it ({told})."
        ) from failure


def _deliver_to(
    engine: sa.Engine, channel: Channel, minimum: AlertSeverity, clock: Callable[[], int]
) -> tuple[int, str | None]:
    sent = 0
    while claim := outbox.claim(engine, channel.name, minimum, clock()):
        try:
            channel.send(_message(claim))
        except DeliveryFailed as failure:
            outbox.mark_failed(engine, claim, str(failure), clock())
            return sent, str(failure)
        outbox.mark_sent(engine, claim, clock())
        sent += 1
    return sent, None


def _message(claim: Claim) -> Message:
    message = digest_message(claim.messages)
    if claim.interrupted_us is None:
        return message
    return with_note(
        message,
        f"This may be a repeat: the first attempt, at {moment(claim.interrupted_us)}, ended before it could be noted.",
    )

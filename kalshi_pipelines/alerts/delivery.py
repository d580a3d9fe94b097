"""Delivery of alerts from the outbox to the channels. A channel that fails does not stop the other channels."""

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
    """The result of one call of :func:`deliver_pending`.

    Attributes:
        sent: The number of messages sent. A message with several alerts counts once.
        failures: The reasons of failed deliveries, by name of the channel.
        waiting: The number of alerts that at least one channel has not received yet.
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
    """Send all alerts that are due.

    Several processes may call this function at once: each channel still receives each alert once.

    Args:
        engine: A warehouse whose schema is upgraded to the newest migration.
        channels: The channels to deliver to. If there are no channels, alerts wait for up to a week until a channel is
            configured.
        minimum: The lowest severity that is sent. Alerts with a lower severity are not sent.
        clock: Returns the present time in microseconds since 1970 UTC.
    """
    sent, failures = 0, {}
    for channel in channels:
        count, failure = _deliver_to(engine, channel, minimum, clock)
        sent += count
        if failure:
            failures[channel.name] = failure
            logger.warning("Channel %s did not accept a message (%s). It is tried again later.", channel.name, failure)
    if len(channels):
        outbox.finish(engine, channels.names, clock())
    return DeliveryResult(sent, failures, outbox.count_waiting(engine))


def alert_run_failure(
    engine: sa.Engine, channels: AlertChannels, job: str, run_id: str, error: str, failed_us: int
) -> None:
    """Report a failed run to people: through the outbox, or directly if the warehouse cannot be used.

    Args:
        engine: The warehouse. The run may have failed because of the warehouse.
        channels: Channels that are used only if the warehouse cannot store the alert.
        job: Name of the job.
        run_id: Id of the Dagster run. A second call for the same run does nothing.
        error: The error of the run. Secrets are removed from its text.
        failed_us: Time of the failure in microseconds since 1970 UTC.

    Raises:
        DeliveryFailed: Neither the warehouse nor a channel accepted the alert.
    """
    message = run_failure_message(job, run_id, error, failed_us)
    alert = Alert(f"run_failure:{run_id}", "run_failure", AlertSeverity.BREAKING, message)
    try:
        with writing(engine) as connection:
            outbox.put(connection, alert, failed_us)
    except sa.exc.SQLAlchemyError as failure:
        _send_past_the_warehouse(channels, message, failure)


def _send_past_the_warehouse(channels: AlertChannels, message: Message, failure: Exception) -> None:
    note = "The warehouse could not store this alert, so it may arrive more than once."
    refusals = []
    for channel in channels:
        try:
            channel.send(with_note(message, note))
        except DeliveryFailed as refusal:
            refusals.append(f"{channel.name}: {refusal}")
    if len(refusals) == len(channels):
        reasons = "; ".join(refusals) or "no channel is configured"
        raise DeliveryFailed(
            f"The alert about a failed run reached nobody: the warehouse failed ({type(failure).__name__}), "
            f"and no channel accepted the alert ({reasons}).",
            "Check the warehouse and the addresses in KALSHI_ALERT_URLS.",
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
        f"This may be a repeat: the attempt at {moment(claim.interrupted_us)} ended before its result was recorded.",
    )

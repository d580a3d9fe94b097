"""Each alert reaches each channel once. Only a failing channel is retried, and many alerts become one message."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
import sqlalchemy as sa

from kalshi_pipelines.alerts.channels import AlertChannels, DeliveryFailed
from kalshi_pipelines.alerts.delivery import DeliveryResult, alert_run_failure, deliver_pending
from kalshi_pipelines.alerts.messages import FindingNews, Message, finding_message
from kalshi_pipelines.alerts.outbox import (
    CLAIM_TIME_OUT_US,
    FIRST_BACK_OFF_US,
    GIVEN_UP_AFTER_US,
    MOST_MESSAGES_AN_HOUR,
    Alert,
    claim,
    mark_sent,
    put,
)
from kalshi_pipelines.settings import AlertSeverity
from kalshi_pipelines.units import HOUR_US
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines.warehouse.tables import alert_deliveries, alerts
from kalshi_pipelines_tests.support.alerts.receivers import Webhook

BREAKING, RISKY, ADDITIVE = AlertSeverity.BREAKING, AlertSeverity.RISKY, AlertSeverity.ADDITIVE


@dataclass
class AlertClock:
    now_us: int = 1_000 * HOUR_US

    def __call__(self) -> int:
        return self.now_us


@dataclass
class RecordingChannel:
    """A stand-in for an alert channel, which records messages or refuses them."""

    name: str = "recorder-1"
    fails: bool = False
    sent: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> None:
        if self.fails:
            raise DeliveryFailed("it is out of order")
        self.sent.append(message)


@pytest.fixture
def clock() -> AlertClock:
    return AlertClock()


@pytest.fixture
def deliver(engine: sa.Engine, clock: AlertClock) -> Callable[..., DeliveryResult]:
    def deliver(*channels: RecordingChannel, minimum: AlertSeverity = ADDITIVE) -> DeliveryResult:
        return deliver_pending(engine, AlertChannels(channels), minimum, clock)

    return deliver


def put_alert(engine: sa.Engine, key: str, now_us: int, severity: AlertSeverity = BREAKING) -> bool:
    with writing(engine) as connection:
        return put(connection, Alert(key, "summary", severity, Message(f"Title {key}", f"Body {key}")), now_us)


def states(engine: sa.Engine) -> list[str]:
    with engine.connect() as connection:
        return list(connection.scalars(sa.select(alerts.c.state).order_by(alerts.c.alert_id)))


def test_an_alert_is_delivered_once(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    assert put_alert(engine, "a", clock())
    assert not put_alert(engine, "a", clock())
    assert deliver(channel) == DeliveryResult(1, {}, 0)
    assert deliver(channel) == DeliveryResult(0, {}, 0)
    assert [message.title for message in channel.sent] == ["Title a"]
    assert states(engine) == ["sent"]
    assert not put_alert(engine, "a", clock())


def test_failing_channel_does_not_stop_the_others_and_is_retried_alone(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    broken, whole = RecordingChannel("broken", fails=True), RecordingChannel("whole")
    put_alert(engine, "a", clock())
    assert deliver(broken, whole).failures == {"broken": "it is out of order"}
    assert len(whole.sent) == 1
    assert states(engine) == ["pending"]
    broken.fails = False
    assert deliver(broken, whole).sent == 0
    clock.now_us += FIRST_BACK_OFF_US
    assert deliver(broken, whole) == DeliveryResult(1, {}, 0)
    assert (len(broken.sent), len(whole.sent)) == (1, 1)
    assert states(engine) == ["sent"]


def test_broken_channel_is_retried_more_rarely_and_given_up_after_a_week(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    broken, began = RecordingChannel(fails=True), clock()
    put_alert(engine, "a", clock())
    attempts = []
    while states(engine) == ["pending"]:
        if deliver(broken).failures:
            attempts.append(clock())
        with engine.connect() as connection:
            clock.now_us = connection.scalar(sa.select(alert_deliveries.c.next_attempt_us)) or 0
    waits = [later - earlier for earlier, later in pairwise(attempts)]
    assert waits == sorted(waits)
    assert waits[:3] == [FIRST_BACK_OFF_US, 2 * FIRST_BACK_OFF_US, 4 * FIRST_BACK_OFF_US]
    assert waits[-1] == 6 * HOUR_US
    assert clock() - began <= GIVEN_UP_AFTER_US + 12 * HOUR_US
    assert states(engine) == ["failed"]
    with engine.connect() as connection:
        assert connection.scalar(sa.select(alert_deliveries.c.error)) == "it is out of order"


def test_alerts_due_together_are_one_message_with_the_most_severe_first(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    for severity in (ADDITIVE, BREAKING, RISKY):
        put_alert(engine, severity.value, clock(), severity)
    assert deliver(channel) == DeliveryResult(1, {}, 0)
    assert channel.sent == [
        Message(
            "Title breaking (and 2 more)",
            "Body breaking\n\nTitle risky\nBody risky\n\nTitle additive\nBody additive",
        )
    ]


def test_long_burst_becomes_one_message_with_a_line_per_alert(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    for number in range(50):
        put_alert(engine, f"number {number} {'x' * 100}", clock())
    assert deliver(channel) == DeliveryResult(1, {}, 0)
    (digest,) = channel.sent
    assert digest.title.startswith("Title number 0 x")
    assert digest.title.endswith(" (and 49 more)")
    assert "Title number 0" in digest.body
    assert "and 34 more" in digest.body
    assert "python -m kalshi_pipelines.contracts findings" in digest.body
    assert len(digest.body) <= 4_000
    assert states(engine) == ["sent"] * 50


def test_channel_gets_ten_messages_an_hour_and_then_one_with_the_rest(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    for number in range(30):
        put_alert(engine, f"{number}", clock())
        deliver(channel)
        clock.now_us += 60_000_000
    assert len(channel.sent) == MOST_MESSAGES_AN_HOUR
    clock.now_us += HOUR_US
    assert deliver(channel).waiting == 0
    assert len(channel.sent) == MOST_MESSAGES_AN_HOUR + 1
    assert channel.sent[-1].title == f"Title 10 (and {29 - MOST_MESSAGES_AN_HOUR} more)"


def test_alert_below_the_minimum_severity_is_not_sent(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    for severity in AlertSeverity:
        put_alert(engine, severity.value, clock(), severity)
    deliver(channel, minimum=RISKY)
    assert [message.title for message in channel.sent] == ["Title breaking (and 1 more)"]
    assert "additive" not in channel.sent[0].body
    assert states(engine) == ["sent", "sent", "skipped"]


def test_alerts_wait_at_most_a_week_for_a_first_channel(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    put_alert(engine, "old", clock())
    clock.now_us += GIVEN_UP_AFTER_US
    put_alert(engine, "young", clock())
    assert deliver() == DeliveryResult(0, {}, 2)
    clock.now_us += HOUR_US
    deliver(channel)
    assert [message.title for message in channel.sent] == ["Title young"]


def test_channel_that_is_no_longer_configured_delays_nothing(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    put_alert(engine, "a", clock())
    deliver(RecordingChannel("gone", fails=True))
    kept = RecordingChannel("kept")
    assert deliver(kept).waiting == 0
    assert len(kept.sent) == 1
    assert states(engine) == ["failed"]


def test_claim_of_an_ended_process_is_taken_over_once_with_a_note(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    channel = RecordingChannel()
    put_alert(engine, "a", clock())
    abandoned = claim(engine, channel.name, ADDITIVE, clock())
    assert abandoned is not None
    assert deliver(channel) == DeliveryResult(0, {}, 1)
    clock.now_us += CLAIM_TIME_OUT_US + 1
    assert deliver(channel).sent == 1
    assert "may be a repeat" in channel.sent[0].body
    assert channel.sent[0].body.endswith("Body a")
    mark_sent(engine, abandoned, clock())
    assert deliver(channel).sent == 0


def test_claim_taken_over_is_not_ended_by_its_first_process(
    engine: sa.Engine, clock: AlertClock, deliver: Callable[..., DeliveryResult]
) -> None:
    put_alert(engine, "a", clock())
    slow = claim(engine, "recorder-1", ADDITIVE, clock())
    clock.now_us += CLAIM_TIME_OUT_US + 1
    assert claim(engine, "recorder-1", ADDITIVE, clock()) is not None
    assert slow is not None
    mark_sent(engine, slow, clock())
    assert states(engine) == ["pending"]


def test_failed_run_is_reported_once_without_secrets(engine: sa.Engine, clock: AlertClock, webhook: Webhook) -> None:
    run_id = "6f48d837-2d8e-426d-a807-ab1d99c0b605"
    error = "postgresql://u:hunter22@db/x failed\nAuthorization: Bearer abcdefghijklmnop <!channel>"
    channels = AlertChannels.from_urls([webhook.url])
    for _ in range(2):
        alert_run_failure(engine, channels, "nightly", run_id, error, clock())
    assert deliver_pending(engine, channels, BREAKING, clock).sent == 1
    assert webhook.titles == ["Run failed: nightly"]
    assert f"/runs/{run_id}" in webhook.texts[0]
    assert "hunter22" not in webhook.texts[0]
    assert "abcdefghijklmnop" not in webhook.texts[0]
    assert "<!channel>" not in webhook.texts[0]


def test_failed_run_is_reported_even_if_the_warehouse_cannot_be_used(
    empty_database_url: str, clock: AlertClock
) -> None:
    engine = open_engine(empty_database_url)
    channel, broken = RecordingChannel(), RecordingChannel("broken", fails=True)
    alert_run_failure(engine, AlertChannels((broken, channel)), "nightly", "0a1b", "because", clock())
    assert channel.sent[0].title == "Run failed: nightly"
    with pytest.raises(DeliveryFailed, match="reached nobody"):
        alert_run_failure(engine, AlertChannels((broken,)), "nightly", "0a1b", "because", clock())
    engine.dispose()


def test_message_states_change_time_broken_assets_and_advice() -> None:
    message = finding_message(
        FindingNews(
            finding_id=12,
            environment="prod",
            severity="breaking",
            endpoint="GET /markets",
            place="markets[].yes_bid_dollars",
            kind="key_missing",
            before="in every record",
            after="in none",
            example="KXMLBGAME-26NOV22-TOR",
            advice="Stop trading on quotes.",
            assets=("markets", "price_snapshots"),
            first_seen_us=1_795_387_200_000_000,
            again="it had gone, and came back",
        )
    )
    assert message == Message(
        "Breaking drift on prod: GET /markets markets[].yes_bid_dollars: key missing",
        "What: GET /markets markets[].yes_bid_dollars: key missing\n"
        "Before: in every record\n"
        "Now: in none\n"
        "Since: 2026-11-22 22:40 UTC (it had gone, and came back)\n"
        "Breaks: markets, price_snapshots\n"
        "Example: KXMLBGAME-26NOV22-TOR\n"
        "Do: Stop trading on quotes.\n"
        "More: python -m kalshi_pipelines.contracts show 12",
    )

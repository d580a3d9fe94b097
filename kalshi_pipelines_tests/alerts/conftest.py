from collections.abc import Iterator

import pytest

from kalshi_pipelines_tests.support.alerts.receivers import Mailbox, Webhook, mail_server, webhook_receiver


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with webhook_receiver() as webhook:
        yield webhook


@pytest.fixture
def another_webhook() -> Iterator[Webhook]:
    with webhook_receiver() as webhook:
        yield webhook


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as mailbox:
        yield mailbox

"""``python -m kalshi_pipelines.alerts``: test the channels, list the newest alerts, deliver pending alerts.

``test`` and ``deliver`` exit with 1 if a channel fails, and with 2 if no channel is configured.
"""

import argparse
import sys
from collections.abc import Sequence

import sqlalchemy as sa

from kalshi_pipelines.alerts.channels import AlertChannels, DeliveryFailed
from kalshi_pipelines.alerts.delivery import deliver_pending
from kalshi_pipelines.alerts.messages import Message, moment
from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.settings import Settings, take_env_file
from kalshi_pipelines.units import now_us
from kalshi_pipelines.warehouse.engine import explain_failures, open_engine
from kalshi_pipelines.warehouse.tables import alerts

_NONE = "No channel is configured. Set KALSHI_ALERT_URLS to Apprise URLs; docs/alerts.md has examples."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that the arguments of the command line name, and return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.alerts",
        description="Test the channels of alerts, list alerts, and deliver pending alerts.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("test", help="send a test message to every channel and print the result of each")
    commands.add_parser("list", help="print the 20 newest alerts with their state")
    commands.add_parser("deliver", help="deliver pending alerts now, as the daemon does every minute")
    command = parser.parse_args(arguments).command
    try:
        take_env_file()
        settings = Settings.from_environment()
        channels = AlertChannels.from_settings(settings)
        if command == "list":
            return _list(settings)
        if not len(channels):
            print(_NONE, file=sys.stderr)
            return 2
        return _test(channels, settings) if command == "test" else _deliver(channels, settings)
    except ExpectedError as error:
        print(error, file=sys.stderr)
        return 2


def _test(channels: AlertChannels, settings: Settings) -> int:
    message = Message(
        f"Test message of kalshi_pipelines ({settings.environment.value})",
        f"Nothing is wrong. Alerts about vendor drift, failed runs and halts arrive here. Sent {moment(now_us())}.",
    )
    failed = 0
    for channel in channels:
        try:
            channel.send(message)
        except DeliveryFailed as failure:
            failed += 1
            print(f"{channel.name}: failed: {failure}")
        else:
            print(f"{channel.name}: sent")
    return 1 if failed else 0


def _deliver(channels: AlertChannels, settings: Settings) -> int:
    engine = open_engine(settings.resolved_warehouse_url)
    with explain_failures(engine):
        delivered = deliver_pending(engine, channels, settings.alert_minimum_severity)
    print(f"{delivered.sent} sent, {delivered.waiting} waiting")
    for name, failure in delivered.failures.items():
        print(f"{name}: failed: {failure}")
    return 1 if delivered.failures else 0


def _list(settings: Settings) -> int:
    engine = open_engine(settings.resolved_warehouse_url)
    with explain_failures(engine), engine.connect() as connection:
        rows = connection.execute(sa.select(alerts).order_by(alerts.c.alert_id.desc()).limit(20)).all()
    for row in rows:
        print(f"{row.alert_id:>5}  {moment(row.created_us)}  {row.state:<8}{row.title}")
    if not rows:
        print("There are no alerts yet.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

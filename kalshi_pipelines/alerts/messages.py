"""Texts of alerts: what changed, since when, which assets the change breaks, an example, and a command to see more."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from kalshi_pipelines.alerts.scrubbing import neutral, shortened
from kalshi_pipelines.units import instant
from kalshi_pipelines.warehouse.tables import MOST_ALERT_BODY, MOST_ALERT_TITLE

SHOW: Final = "python -m kalshi_pipelines.contracts show"
SHOW_ALL: Final = "python -m kalshi_pipelines.contracts findings"
_MOST_LISTED: Final = 20
_MOST_ERROR: Final = 1_500
_RUN_ID: Final = re.compile(r"[0-9a-f-]{4,60}")


@dataclass(frozen=True)
class Message:
    """A message as sent: a title of one line and a body of a few lines, in plain text without secrets or markup."""

    title: str
    body: str


@dataclass(frozen=True)
class FindingNews:
    """The contents of a message about a finding. Texts may come from the vendor; this module neutralizes them.

    Attributes:
        finding_id: The number of the finding, which the command ``show`` accepts as its argument.
        environment: The environment of the exchange: sandbox, demo or prod.
        severity: breaking, risky or additive.
        endpoint: The vendor endpoint, such as ``GET /markets``.
        place: The place in the response, such as ``markets[].yes_bid_dollars``; empty for the whole response.
        kind: The kind of change, such as ``key_missing``.
        before: The state before the change.
        after: The present state.
        example: A record or value that shows the change.
        advice: The next step for the reader.
        assets: The assets that depend on the place.
        first_seen_us: Time of the first sighting, in microseconds since 1970 UTC.
        again: The reason for a repeated message, such as ``it came back``; empty for the first message.
    """

    finding_id: int
    environment: str
    severity: str
    endpoint: str
    place: str
    kind: str
    before: str
    after: str
    example: str
    advice: str
    assets: Sequence[str]
    first_seen_us: int
    again: str = ""


def finding_message(news: FindingNews) -> Message:
    """Return the message about one finding."""
    lines = [
        f"What: {_what(news)}",
        f"Before: {neutral(news.before)}" if news.before else "",
        f"Now: {neutral(news.after)}" if news.after else "",
        f"Since: {moment(news.first_seen_us)}{f' ({news.again})' if news.again else ''}",
        f"Breaks: {_assets(news)}",
        f"Example: {neutral(news.example)}" if news.example else "",
        f"Do: {neutral(news.advice)}" if news.advice else "",
        f"More: {SHOW} {news.finding_id}",
    ]
    title = f"{news.severity.capitalize()} drift on {news.environment}: {_what(news)}"
    return Message(shortened(title, MOST_ALERT_TITLE), shortened("\n".join(filter(None, lines)), MOST_ALERT_BODY))


def summary_message(news: Sequence[FindingNews], environment: str) -> Message:
    """Return one message about many findings that are not urgent."""
    title = f"{_count(len(news), 'addition')} on {environment}: nothing depends on them yet"
    lines = [f"{_what(one)} (finding {one.finding_id}, since {moment(one.first_seen_us)})" for one in news]
    return Message(title, _listed(lines, SHOW_ALL))


def run_failure_message(job: str, run_id: str, error: str, failed_us: int) -> Message:
    """Return the message about a failed run, with secrets removed from the error."""
    lines = [
        f"What: run {_run(run_id)} of job {neutral(job, 100)} failed at {moment(failed_us)}",
        f"Error: {neutral(error, _MOST_ERROR) or 'none was given'}",
        f"More: the run's page in the Dagster UI, /runs/{_run(run_id)}",
    ]
    return Message(shortened(f"Run failed: {neutral(job, 100)}", MOST_ALERT_TITLE), "\n".join(lines))


def digest_message(messages: Sequence[Message]) -> Message:
    """Return one message for several alerts that became due together; the first is the most severe.

    If the texts are too long for one message, each alert has one line.
    """
    if len(messages) == 1:
        return messages[0]
    more = f" (and {len(messages) - 1:,} more)"
    title = shortened(messages[0].title, MOST_ALERT_TITLE - len(more)) + more
    whole = "\n\n".join([messages[0].body, *(f"{each.title}\n{each.body}" for each in messages[1:])])
    if len(whole) <= MOST_ALERT_BODY:
        return Message(title, whole)
    return Message(title, _listed([f"{each.title} - {_last_line(each)}" for each in messages], SHOW_ALL))


def with_note(message: Message, note: str) -> Message:
    """Return the message with a sentence at its beginning. A long body is cut at its end."""
    return Message(message.title, shortened(f"{note}\n{message.body}", MOST_ALERT_BODY))


def moment(at_us: int) -> str:
    """Return a time in UTC, to the minute, as text for messages."""
    return instant(at_us).astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")


def _run(run_id: str) -> str:
    """Return the id of a Dagster run for a message.

    Run ids and the ids of API keys are both UUIDs. Messages hide every other UUID, but they show a run id.
    """
    return run_id if _RUN_ID.fullmatch(run_id) else neutral(run_id, 60)


def _what(news: FindingNews) -> str:
    where = f"{neutral(news.endpoint, 100)} {neutral(news.place, 120)}".strip()
    return f"{where}: {neutral(news.kind, 60).replace('_', ' ')}"


def _assets(news: FindingNews) -> str:
    return neutral(", ".join(news.assets)) if news.assets else "no asset is known to use it"


def _last_line(message: Message) -> str:
    return message.body.rsplit("\n", 1)[-1]


def _listed(lines: Sequence[str], command: str) -> str:
    shown = list(lines[:_MOST_LISTED])
    last = f"More: {command}"
    while len("\n".join(shown)) > MOST_ALERT_BODY - len(last) - 40:
        shown.pop()
    if len(shown) < len(lines):
        shown.append(f"... and {len(lines) - len(shown):,} more")
    return "\n".join([*shown, last])


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"

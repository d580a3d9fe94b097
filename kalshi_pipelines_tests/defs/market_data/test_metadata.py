"""The progress of an asset is written to the run log every few seconds, and always at the end."""

import dagster as dg
import pytest

from kalshi_pipelines.bookkeeping.runs import Counts, Progress
from kalshi_pipelines.defs.market_data.metadata import ProgressLog


def test_progress_is_logged_every_few_seconds_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    lines: list[str] = []
    monkeypatch.setattr("kalshi_pipelines.defs.market_data.metadata.time.monotonic", lambda: now)
    log = dg.build_asset_context().log
    monkeypatch.setattr(log, "info", lines.append)
    report = ProgressLog(log)
    for second in range(1, 12):
        now = float(second)
        report(Progress("markets", Counts(read=second), None, now))
    report(Progress("markets", Counts(read=12), None, now, "succeeded"))
    assert [line.split(" records")[0] for line in lines] == [
        "markets running: 5",
        "markets running: 10",
        "markets succeeded: 12",
    ]

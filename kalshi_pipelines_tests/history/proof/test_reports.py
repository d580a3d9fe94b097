"""The daily files of the exchange are read in parts, checked, and compared with the trades of the lake."""

import datetime as dt
import gzip
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.proving import prove_day
from kalshi_pipelines.history.proof.reports import (
    DailyReports,
    ReportRefused,
    TradedSums,
    compare_report,
    parse,
    sums_in_lake,
    sums_of_rows,
)
from kalshi_pipelines.history.proof.residuals import Verdict
from kalshi_pipelines.history.trades import read_trades
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.settings import Environment, RateTier, Settings
from kalshi_pipelines.units import instant
from kalshi_pipelines_tests.support.lake.lakes import local_lake
from kalshi_pipelines_tests.tools.history_trial.holes import complete_lake
from kalshi_pipelines_tests.tools.history_trial.tape import TapeOptions

DAY = dt.date(2026, 7, 29)
ROW = b'{"ticker_name":"%b","report_ticker":"KXA","date":"2026-07-29","create_ts":"x","contracts_traded":%b,"price":%b}'
FILE = b"[" + b",".join([ROW % (b"A", b"1.5", b"57"), ROW % (b"B", b"2", b'"0.5"'), ROW % (b"A", b"3", b"12.5")]) + b"]"
SUMS = {
    "A": TradedSums(Decimal("4.5"), 2, Decimal("0.57"), Decimal("0.125")),
    "B": TradedSums(Decimal(2), 1, Decimal("0.005"), Decimal("0.005")),
}


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
def test_file_is_read_in_parts_of_any_size(size: int) -> None:
    chunks = [FILE[start : start + size] for start in range(0, len(FILE), size)]
    assert sums_of_rows(parse(chunks, DAY)) == SUMS
    assert list(parse([b"[]"], DAY)) == []


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"<Error/>", FILE[:-1], FILE[:-20], b"[" + ROW % (b"A", b"0", b"5") + b"]", b"[{}]"]
    + [b"[" + ROW % (b"A", b"1", price) + b"]" for price in (b"0", b"100", b"null", b'"NaN"')]
    + [FILE.replace(b"2026-07-29", b"2026-07-30")],
)
def test_file_of_another_form_is_refused(content: bytes) -> None:
    with pytest.raises(ReportRefused):
        list(parse([content], DAY))


def reports(answers: dict[str, httpx.Response]) -> DailyReports:
    def answer(request: httpx.Request) -> httpx.Response:
        return answers.get(request.url.path.rpartition("/")[2], httpx.Response(404))

    return DailyReports("http://127.0.0.1/reporting", httpx.MockTransport(answer))


def test_packed_and_plain_files_are_read_and_missing_ones_are_not_published() -> None:
    packed = httpx.Response(200, content=gzip.compress(FILE))
    assert reports({"trade_data_2026-07-29.json.gz": packed}).sums_of(DAY) == SUMS
    assert reports({"trade_data_2026-07-29.json": httpx.Response(200, content=FILE)}).sums_of(DAY) == SUMS
    assert reports({}).sums_of(DAY) is None


@pytest.mark.parametrize(
    "response",
    [httpx.Response(302, headers={"Location": "http://example.com"}), httpx.Response(500)]
    + [httpx.Response(200, content=content) for content in (b"no gzip", gzip.compress(FILE)[:-9])],
)
def test_other_answers_are_refused(response: httpx.Response) -> None:
    with pytest.raises(ReportRefused):
        reports({"trade_data_2026-07-29.json.gz": response}).sums_of(DAY)


def test_each_market_that_differs_is_named() -> None:
    found = {"A": SUMS["A"], "C": SUMS["B"]}
    named = [(each.ticker, each.expected, each.found) for each in compare_report(DAY, SUMS, found)]
    assert named == [("B", str(SUMS["B"]), None), ("C", None, str(SUMS["B"]))]


def test_reports_of_the_sandbox_agree_with_the_lake(sqlite_engine: sa.Engine, tmp_path: Path) -> None:
    options = SandboxOptions(markets=20, combos=3, archived=10, tier="unlimited", warm=False)
    settings = Settings(rate_tier=RateTier.PRESTIGE)
    lake = local_lake(tmp_path / "lake")
    with (
        running_sandbox(options) as sandbox,
        KalshiClient.from_settings(settings, sqlite_engine, url=sandbox.url) as client,
    ):
        inputs = HistoryInputs(client, sqlite_engine, lake, Environment.SANDBOX, tmp_path / "work")
        day = instant(inputs.clock()).date() - dt.timedelta(days=5)
        for each in (day, day + dt.timedelta(days=1)):
            read_trades(inputs, each)
        expected = DailyReports(f"{sandbox.admin_url}/reporting").sums_of(day)
    assert expected
    assert sums_in_lake(lake, sqlite_engine, day) == expected


class FixedReports:
    """Daily files with fixed sums."""

    def __init__(self, sums: dict[str, TradedSums] | ReportRefused | None) -> None:
        self.sums = sums

    def sums_of(self, day: dt.date) -> dict[str, TradedSums] | None:
        if isinstance(self.sums, ReportRefused):
            raise self.sums
        return self.sums


@pytest.mark.parametrize(
    ("sums", "verdict"),
    [(None, Verdict.PROVED), (SUMS, Verdict.MISSING), (ReportRefused("no list"), Verdict.EXPLAINED)],
)
def test_files_take_part_in_the_proof(
    tmp_path: Path, sums: dict[str, TradedSums] | ReportRefused | None, verdict: Verdict
) -> None:
    made = complete_lake(tmp_path, TapeOptions(days=3, trades=200))
    proof = prove_day(ProofInputs(made.engine, made.lake, reports=FixedReports(sums)), made.tape.date(1))
    assert proof.verdict is verdict
    assert len(proof.figures["daily_reports"]) == 2

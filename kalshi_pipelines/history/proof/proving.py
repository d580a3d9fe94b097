"""The proof of one UTC day of public trades: the files of the lake against witnesses that did not walk the feed.

The files are compared with the manifest, the volumes with those of settled markets, and the minutes with candlesticks.
The candlesticks are those of the lake. For markets that the lake's candlesticks do not cover, the exchange is asked.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kalshi_pipelines.history.partitions import REFUSED, partitions_of, windows_read
from kalshi_pipelines.history.proof.candle_witness import CandleWitness
from kalshi_pipelines.history.proof.inputs import ProofInputs
from kalshi_pipelines.history.proof.recording import residuals_of
from kalshi_pipelines.history.proof.reports import ReportRefused, compare_report, sums_in_lake
from kalshi_pipelines.history.proof.residuals import Proof, Residual, State, verdict_of
from kalshi_pipelines.history.proof.volumes import VolumeCheck, check_volumes, covered, settled_markets_of
from kalshi_pipelines.lake.closing import verify_file
from kalshi_pipelines.lake.datasets import PUBLIC_TRADES
from kalshi_pipelines.lake.errors import LakeFileChanged
from kalshi_pipelines.lake.manifest import lake_files_of


def prove_day(inputs: ProofInputs, day: dt.date) -> Proof:
    """Compare one UTC day of public trades with all witnesses. The warehouse and the lake are not changed.

    Raises:
        KalshiError: The exchange is down.
        LakeUnavailable: The lake cannot be read.
    """
    return _Proof(inputs, day).prove()


@dataclass
class _Proof:
    inputs: ProofInputs
    day: dt.date
    residuals: list[Residual] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def prove(self) -> Proof:
        known = {each.day: each for each in partitions_of(self.inputs.engine, PUBLIC_TRADES.name)}
        read_days = {
            each.day
            for each in known.values()
            if each.read_until_us is not None and each.read_until_us >= PUBLIC_TRADES.bounds_of(each.day)[1]
        }
        self._check_files()
        self._list_holes()
        is_checked = False
        if self.day not in read_days:
            self._missing_day()
        else:
            try:
                is_checked = self._ask_witnesses(read_days)
            except LakeFileChanged as problem:
                self._add_file("files", problem)
        refused = residuals_of(self.inputs.engine, PUBLIC_TRADES.name, self.day, kind=REFUSED)
        self.figures["differences"] = len(self.residuals)
        self.figures["differences_missing"] = sum(each.state is State.MISSING for each in self.residuals)
        verdict = verdict_of([*self.residuals, *refused], is_checked=is_checked)
        return Proof(self.day, verdict, tuple(sorted(self.residuals)), self.figures)

    def _check_files(self) -> None:
        """Compare the files of the day with the manifest, so that no row can change unseen."""
        for file in lake_files_of(self.inputs.engine, PUBLIC_TRADES.name, [self.day]):
            try:
                verify_file(self.inputs.lake.store, file)
            except LakeFileChanged as problem:
                self._add_file(f"file {file.path}", problem)

    def _add_file(self, kind: str, problem: LakeFileChanged) -> None:
        explanation = f"{problem.problem} {problem.remedy}".strip()
        self.residuals.append(Residual("", kind, State.MISSING, "rows of the manifest", "other rows", explanation))

    def _list_holes(self) -> None:
        for each in windows_read(self.inputs.engine, PUBLIC_TRADES.name, self.day):
            if each.problem is not None:
                kind = f"hole from {each.window}"
                self.residuals.append(Residual("", kind, State.NOT_SERVED, "trades", "none", each.problem))

    def _missing_day(self) -> None:
        text = "The day was not read to its end. Backfill it first."
        self.residuals.append(Residual("", "whole day", State.MISSING, "a read of the day", "none", text))

    def _ask_witnesses(self, read_days: set[dt.date]) -> bool:
        checks = self._check_volumes(read_days)
        equal = {each.market.ticker for each in checks if each.is_equal}
        witness = CandleWitness(self.inputs, self.day, equal)
        is_checked = witness.compare()
        self.figures |= witness.figures
        self.residuals += witness.residuals
        self._add_volumes(checks, witness)
        return self._compare_reports(read_days) or is_checked

    def _compare_reports(self, read_days: set[dt.date]) -> bool:
        """Compare the New York days of the day with the daily files, and return whether all of them were compared."""
        inputs = self.inputs
        if inputs.reports is None:
            return False
        answers: dict[str, str] = {}
        for day in (self.day - dt.timedelta(days=1), self.day):
            if not {day, day + dt.timedelta(days=1)} <= read_days:
                answers[day.isoformat()] = "the trades of the New York day were not read to their end"
                continue
            try:
                expected = inputs.reports.sums_of(day)
            except ReportRefused as problem:
                answers[day.isoformat()] = "refused"
                kind, text = f"daily report of {day}", problem.problem
                self.residuals.append(Residual("", kind, State.NOT_SERVED, None, None, text))
                continue
            if expected is None:
                answers[day.isoformat()] = "not published"
                continue
            differing = list(compare_report(day, expected, sums_in_lake(inputs.lake, inputs.engine, day)))
            answers[day.isoformat()] = f"{len(expected)} markets compared, {len(differing)} differ"
            self.residuals += differing
        self.figures["daily_reports"] = answers
        return all("compared" in each for each in answers.values())

    def _check_volumes(self, read_days: set[dt.date]) -> list[VolumeCheck]:
        inputs = self.inputs
        settled = settled_markets_of(inputs.lake, inputs.engine, self.day)
        wanted = [each for each in settled.values() if covered(each, read_days)]
        checks = check_volumes(inputs.lake, inputs.engine, wanted, read_days, inputs.sums_folder, self.day)
        self.figures |= {
            "settled_markets": len(settled),
            "volumes_compared": len(checks),
            "volumes_equal": sum(each.is_equal for each in checks),
            "volumes_equal_only_without_blocks": sum(
                each.is_equal_without_blocks and not each.is_equal for each in checks
            ),
            "volumes_with_block_trades": sum(each.blocks > 0 for each in checks),
        }
        return checks

    def _add_volumes(self, checks: Iterable[VolumeCheck], witness: CandleWitness) -> None:
        for each in checks:
            if each.is_equal:
                continue
            market = each.market
            # A market has the same difference on each day of its life. It stays unexplained on its last day, so that it
            # cannot vanish between the days.
            is_clear = market.close_day != self.day and witness.agrees_about(market.ticker)
            state = State.EXPLAINED if is_clear else State.MISSING
            text = f"The trades from {market.first_day} to {market.last_day} (UTC) have another sum than the exchange."
            if is_clear:
                text += f" The candlesticks of {self.day} agree, so another day differs."
            if each.is_equal_without_blocks:
                text += " The difference vanishes if block trades do not count."
            expected, found = (f"{number // 100}.{number % 100:02}" for number in (market.volume, each.found))
            self.residuals.append(Residual(market.ticker, "volume", state, expected, found, text))

"""The inputs of a proof of completeness."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from kalshi_pipelines.history.inputs import HistoryInputs
from kalshi_pipelines.history.proof.reports import DailyReports, Reports
from kalshi_pipelines.kalshi.client import KalshiClient
from kalshi_pipelines.lake.lake import Lake
from kalshi_pipelines.units import now_us

#: Folder for the sums of days, inside of the folder of work on history.
SUMS_FOLDER: Final = "sums_of_trades"


@dataclass(frozen=True)
class ProofInputs:
    """The inputs of a proof.

    Attributes:
        engine: The warehouse.
        lake: The lake of the warehouse.
        client: The exchange; None if only the candlesticks of the lake are compared.
        sums_folder: Folder for sums of days; None if nothing is kept.
        reports: The exchange's daily files; None if they are not read.
        includes_combos: Whether the exchange is asked about combos, too.
        clock: Returns the present time, in microseconds since 1970 UTC.
    """

    engine: sa.Engine
    lake: Lake
    client: KalshiClient | None = None
    sums_folder: Path | None = None
    reports: Reports | None = None
    includes_combos: bool = False
    clock: Callable[[], int] = now_us

    @classmethod
    def of(cls, inputs: HistoryInputs) -> "ProofInputs":
        """Return the inputs of a proof for those of a read."""
        folder = inputs.work_folder / SUMS_FOLDER
        return cls(
            inputs.engine,
            inputs.lake,
            inputs.client,
            folder,
            reports=None if inputs.daily_reports_url is None else DailyReports(inputs.daily_reports_url),
            includes_combos=inputs.includes_combos,
            clock=inputs.clock,
        )

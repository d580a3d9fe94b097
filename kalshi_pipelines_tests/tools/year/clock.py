"""The clock of a simulated year, as the tool's processes see it.

``KALSHI_YEAR_CLOCK`` names a file with two instants in microseconds since 1970: one of the simulated year, and the
instant of this machine's clock at which it applied. From there, the simulated clock runs at the speed of the machine's
clock. Only processes of this tool read the variable.
"""

import datetime as dt
import os
from pathlib import Path
from typing import Final

from kalshi_pipelines import units

VARIABLE: Final = "KALSHI_YEAR_CLOCK"


def machine_us() -> int:
    """Return the instant of this machine's clock, in microseconds since 1970."""
    return units.microseconds(dt.datetime.now(dt.UTC))


def simulated_us() -> int:
    """Return the present instant of the simulated year, in microseconds since 1970."""
    simulated, machine = map(int, Path(os.environ[VARIABLE]).read_text().split())
    return simulated + machine_us() - machine


def set_simulated(file: Path, instant_us: int) -> None:
    """Let the simulated clock show an instant now, and run on from there."""
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(f"{instant_us} {machine_us()}")
    unfinished.replace(file)


def install() -> None:
    """Replace ``units.now_us`` in this process. Call it before any other module of the package is imported."""
    units.now_us = simulated_us

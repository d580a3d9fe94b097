"""Price grids of the exchange, and the text format of prices, counts and amounts of money.

A price is an integer of centi-cents (1e-4 dollar, the finest step of any grid). A count is an integer of 0.01 contract.
An amount is an integer of micro-dollars. Belongs here: grids, their labels, and formatting numbers. Does not belong
here: computing the price of a market.
"""

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from kalshi_pipelines.units import DOLLAR_CENTICENTS

MICRO: Final = 1_000_000
"""Micro-dollars in one dollar."""

_STEPS: Final = {"whole": 100, "half": 50, "quint": 20, "deci": 10, "centi": 1}
_PRICE_TEXT: Final = tuple(
    f"{price // DOLLAR_CENTICENTS}.{price % DOLLAR_CENTICENTS:04d}" for price in range(DOLLAR_CENTICENTS + 1)
)


def price_text(centicents: int) -> str:
    """Format a price between 0 and 1 dollar as the exchange does, such as ``"0.5700"``."""
    return _PRICE_TEXT[centicents]


def count_text(centicontracts: int) -> str:
    """Format a number of contracts as the exchange does, such as ``"343.49"``. A negative number means NO."""
    if centicontracts < 0:
        return f"-{count_text(-centicontracts)}"
    return f"{centicontracts // 100}.{centicontracts % 100:02d}"


def dollars_text(microdollars: int) -> str:
    """Format an amount of money as the exchange does, such as ``"-0.017500"``."""
    if microdollars < 0:
        return f"-{dollars_text(-microdollars)}"
    return f"{microdollars // MICRO}.{microdollars % MICRO:06d}"


@dataclass(frozen=True)
class GridRange:
    """A range of a price grid: prices from ``start`` to ``end`` in steps of ``step`` centi-cents."""

    start: int
    end: int
    step: int


@dataclass(frozen=True)
class PriceGrid:
    """The prices that a market accepts. ``label`` is the exchange's ``price_level_structure``."""

    label: str
    ranges: tuple[GridRange, ...]

    @cached_property
    def prices(self) -> tuple[int, ...]:
        """All prices of the grid strictly between 0 and 1 dollar, in centi-cents, ascending."""
        steps = {price for part in self.ranges for price in range(part.start, part.end + 1, part.step)}
        return tuple(sorted(steps - {0, DOLLAR_CENTICENTS}))

    @cached_property
    def wire_ranges(self) -> list[dict[str, str]]:
        """The grid in the format of the API's ``price_ranges``."""
        return [
            {"end": price_text(part.end), "start": price_text(part.start), "step": price_text(part.step)}
            for part in self.ranges
        ]

    def position(self, price: int) -> int:
        """Return the index in the grid's ``prices`` of the highest price that is not above ``price``.

        If there is none, return 0.
        """
        return max(0, bisect_right(self.prices, price) - 1)


def _even(label: str, step: int) -> PriceGrid:
    return PriceGrid(label, (GridRange(0, DOLLAR_CENTICENTS, step),))


def _edged(label: str, center: int, edge: int, low: int = 1_000) -> PriceGrid:
    high = DOLLAR_CENTICENTS - low
    return PriceGrid(
        label, (GridRange(0, low, edge), GridRange(low, high, center), GridRange(high, DOLLAR_CENTICENTS, edge))
    )


def _center_edge_grids() -> list[PriceGrid]:
    names = list(_STEPS)
    pairs = [(center, edge) for i, center in enumerate(names) for edge in names[i:] if (center, edge) != ("whole",) * 2]
    return [
        _edged(
            f"center_{center}_edge_{edge}_cent",
            _STEPS[center],
            _STEPS[edge],
            100 if (center, edge) == ("deci", "centi") else 1_000,
        )
        for center, edge in pairs
    ]


LINEAR_CENT: Final = _even("linear_cent", 100)
DECI_CENT: Final = _even("deci_cent", 10)
TAPERED_DECI_CENT: Final = _edged("tapered_deci_cent", 100, 10)
CENTER_EDGE_GRIDS: Final = tuple(_center_edge_grids())
COMBO_GRID: Final = next(grid for grid in CENTER_EDGE_GRIDS if grid.label == "center_deci_edge_centi_cent")
ALL_GRIDS: Final = (LINEAR_CENT, DECI_CENT, TAPERED_DECI_CENT, *CENTER_EDGE_GRIDS)

"""What was learned of an endpoint in one environment, and how an answer differs from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kalshi_pipelines.contracts.declarations import Contract
from kalshi_pipelines.contracts.differences import Difference
from kalshi_pipelines.contracts.inventory import Inventory


@dataclass(frozen=True)
class Baseline:
    """What was learned of an endpoint in one environment. JSON both ways by ``as_json`` and ``from_json``.

    Attributes:
        inventory: All answers that were learned, merged.
        observations: How many they are.
        first_us: When the first was observed.
        last_us: When the last was.
    """

    inventory: Inventory = field(default_factory=Inventory)
    observations: int = 0
    first_us: int = 0
    last_us: int = 0

    def as_json(self) -> dict[str, Any]:
        """A JSON object that ``from_json`` reads."""
        raise NotImplementedError

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Baseline":
        """The baseline written by ``as_json``."""
        raise NotImplementedError


def learned(baseline: Baseline | None, inventory: Inventory, at_us: int) -> Baseline:
    """The baseline with one more answer in it. ``None`` is the baseline of an endpoint never seen."""
    raise NotImplementedError


def compare(baseline: Baseline, inventory: Inventory, contract: Contract) -> list[Difference]:
    """How an answer differs from what was learned."""
    raise NotImplementedError

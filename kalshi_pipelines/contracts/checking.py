"""One answer against its contract and against what was learned of its endpoint."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kalshi_pipelines.contracts.baseline import Baseline
from kalshi_pipelines.contracts.differences import Difference
from kalshi_pipelines.contracts.inventory import Inventory
from kalshi_pipelines.contracts.responses import Response


class Outcome(StrEnum):
    """What came of asking an endpoint."""

    CHECKED = "checked"
    EMPTY = "empty"
    REFUSED = "refused"
    MAINTENANCE = "maintenance"
    UNREACHABLE = "unreachable"


@dataclass(frozen=True)
class Checked:
    """What one answer showed.

    Attributes:
        outcome: What came of asking.
        differences: One for each place and kind, the gravest first.
        inventory: What was seen, to be learned if the differences are not absurd; ``None`` if there was nothing to see.
    """

    outcome: Outcome
    differences: tuple[Difference, ...]
    inventory: Inventory | None


def check(response: Response, baseline: Baseline | None = None) -> Checked:
    """Compare an answer with its contract and with the baseline of its endpoint in its environment.

    Raises:
        KeyError: No contract is declared for the endpoint.
    """
    raise NotImplementedError


def check_together(responses: Sequence[Response]) -> tuple[Difference, ...]:
    """Compare the answers of one run with each other: what the balance says of positions, which shards exist."""
    raise NotImplementedError

"""What searches really cost: the truth that a client's own accounts are compared with.

Belongs here: prices, the account's credit, the list of charges. Source of the prices: the vendor's page on its prices
since March 2026 (a search with contents of ten results, and each result more).
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.noise import mixed

MICRO: Final = 1_000_000
_SEARCH: Final = 7_000
_RESULTS_INCLUDED: Final = 10
_EACH_FURTHER: Final = 1_000


@dataclass(frozen=True)
class SearchCharge:
    """One charge. ``told`` is what the answer said, in micro-dollars; None if it did not."""

    request_id: str
    endpoint: str
    at_us: int
    microdollars: int
    reported: int | None


@dataclass
class SearchCharges:
    """Every charge so far, and what remains of the account's credit (None for no end)."""

    charges: list[SearchCharge] = field(default_factory=list)
    credit: int | None = None
    span: tuple[int, int] | None = None
    """Least and most micro-dollars a search costs, instead of its price."""

    @property
    def total(self) -> int:
        """Micro-dollars charged."""
        return sum(charge.microdollars for charge in self.charges)

    def has_credit(self) -> bool:
        """Whether another search is served."""
        return self.credit is None or self.total < self.credit

    def price(self, results: int) -> int:
        """What a search with that many results costs, in micro-dollars."""
        if self.span is not None:
            least, most = self.span
            return least + mixed(len(self.charges), least, most) % (most - least + 1)
        return _SEARCH + _EACH_FURTHER * max(results - _RESULTS_INCLUDED, 0)

    def wire(self) -> dict[str, object]:
        """As the admin route shows it."""
        return {
            "total_microdollars": self.total,
            "charges": [
                {
                    "request_id": each.request_id,
                    "endpoint": each.endpoint,
                    "microdollars": each.microdollars,
                    "told_microdollars": each.reported,
                    "time": rfc3339(each.at_us),
                }
                for each in self.charges
            ],
        }


def dollars(microdollars: int) -> float:
    """Dollars as Exa writes them: a JSON number."""
    return float(Decimal(microdollars) / MICRO)

"""True cost of news searches. Tests compare it with the cost that a client has recorded.

Belongs here: prices, the account's credit, and the list of charges. Source of the prices: the vendor's price page, as
published since March 2026. The page gives a price for a search with the contents of ten results, and a price for each
further result.
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
    """The charge for one news search.

    ``reported`` is the cost in the response, in micro-dollars, or None if the response named no cost.
    """

    request_id: str
    endpoint: str
    at_us: int
    microdollars: int
    reported: int | None


@dataclass
class SearchCharges:
    """All charges for news searches so far, and the account's credit in micro-dollars (None for unlimited credit)."""

    charges: list[SearchCharge] = field(default_factory=list)
    credit: int | None = None
    span: tuple[int, int] | None = None
    """Lowest and highest cost of a search in micro-dollars. If set, costs from this range replace the price."""

    @property
    def total(self) -> int:
        """Sum of all charges for news searches in micro-dollars."""
        return sum(charge.microdollars for charge in self.charges)

    def has_credit(self) -> bool:
        """Return whether the account's credit allows another search."""
        return self.credit is None or self.total < self.credit

    def price(self, results: int) -> int:
        """Return the price of a search that returns this number of results, in micro-dollars."""
        if self.span is not None:
            least, most = self.span
            return least + mixed(len(self.charges), least, most) % (most - least + 1)
        return _SEARCH + _EACH_FURTHER * max(results - _RESULTS_INCLUDED, 0)

    def wire(self) -> dict[str, object]:
        """Return all charges for news searches as the admin route shows them."""
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
    """Convert micro-dollars to dollars as Exa writes them: a JSON number."""
    return float(Decimal(microdollars) / MICRO)

"""True cost of searches, for comparison with a client's own accounts.

Belongs here: prices, the account's credit, and the list of charges. Source of the prices: the vendor's price page since
March 2026 (a search with contents of ten results, and each further result).
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
    """One charge for a search. ``reported`` is the cost in the response, in micro-dollars, or None if it named none."""

    request_id: str
    endpoint: str
    at_us: int
    microdollars: int
    reported: int | None


@dataclass
class SearchCharges:
    """All charges so far, and the account's credit in micro-dollars (None for unlimited credit)."""

    charges: list[SearchCharge] = field(default_factory=list)
    credit: int | None = None
    span: tuple[int, int] | None = None
    """Lowest and highest cost of a search in micro-dollars, used instead of the price."""

    @property
    def total(self) -> int:
        """Sum of all charges in micro-dollars."""
        return sum(charge.microdollars for charge in self.charges)

    def has_credit(self) -> bool:
        """Return whether the credit allows another search."""
        return self.credit is None or self.total < self.credit

    def price(self, results: int) -> int:
        """Return the price of a search with this number of results, in micro-dollars."""
        if self.span is not None:
            least, most = self.span
            return least + mixed(len(self.charges), least, most) % (most - least + 1)
        return _SEARCH + _EACH_FURTHER * max(results - _RESULTS_INCLUDED, 0)

    def wire(self) -> dict[str, object]:
        """Return the charges in the format of the admin route."""
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
    """Return dollars as Exa writes them: a JSON number."""
    return float(Decimal(microdollars) / MICRO)

"""What searches really cost: the truth that a client's own accounts are compared with.

Belongs here: prices, the account's credit, the list of charges. Source of the prices: recordings of January 2026.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from kalshi_pipelines.sandbox.clock import rfc3339
from kalshi_pipelines.sandbox.noise import mixed

MICRO: Final = 1_000_000
_SEARCH: Final = 5_000
_LARGE_SEARCH: Final = 25_000
_LARGE_FROM: Final = 26
_EACH_CONTENT: Final = 1_000


@dataclass(frozen=True)
class Price:
    """What one search costs, in micro-dollars: the search itself and its contents by kind."""

    search: int
    contents: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """All of it."""
        return self.search + sum(self.contents.values())

    def wire(self) -> dict[str, object]:
        """The ``costDollars`` object."""
        cost: dict[str, object] = {"total": dollars(self.total), "search": {"neural": dollars(self.search)}}
        if self.contents:
            cost["contents"] = {kind: dollars(amount) for kind, amount in self.contents.items()}
        return cost


@dataclass(frozen=True)
class Charge:
    """One charge. ``told`` is what the answer said, in micro-dollars; None if it did not."""

    request_id: str
    endpoint: str
    at_us: int
    microdollars: int
    told: int | None


@dataclass
class Charges:
    """Every charge so far, and what remains of the account's credit (None for no end)."""

    charges: list[Charge] = field(default_factory=list)
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

    def price(self, results: int, asked: int, contents: tuple[str, ...]) -> Price:
        """What a search costs that asked for some results and got some, with these contents of each."""
        if self.span is not None:
            least, most = self.span
            return Price(least + mixed(len(self.charges), least, most) % (most - least + 1))
        search = _LARGE_SEARCH if asked >= _LARGE_FROM else _SEARCH
        return Price(search, dict.fromkeys(contents, _EACH_CONTENT * results) if results else {})

    def wire(self) -> dict[str, object]:
        """As the admin route shows it."""
        return {
            "total_microdollars": self.total,
            "charges": [
                {
                    "request_id": each.request_id,
                    "endpoint": each.endpoint,
                    "microdollars": each.microdollars,
                    "told_microdollars": each.told,
                    "time": rfc3339(each.at_us),
                }
                for each in self.charges
            ],
        }


def dollars(microdollars: int) -> float:
    """Dollars as Exa writes them: a JSON number."""
    return float(Decimal(microdollars) / MICRO)

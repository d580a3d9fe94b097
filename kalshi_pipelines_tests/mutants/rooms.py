"""Rooms of the executor, the tests that are quick enough to be run for each of their mutants, and what to leave out."""

from dataclasses import dataclass
from typing import Final

_EXECUTION: Final = "kalshi_pipelines/execution/"
_TESTS: Final = "kalshi_pipelines_tests/execution/"


@dataclass(frozen=True)
class Room:
    """What is mutated, and with which tests.

    Attributes:
        sources: Files and folders below ``execution/``; a pattern each.
        tests: Below the tests of the executor. Those with a Postgres or with processes of their own are left out by
            ``without``: they say the same and take longer, or run the program as it is on the disk.
        without: An expression for pytest's ``-k``.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    without: str = "not postgres"

    @property
    def source_patterns(self) -> list[str]:
        """As the tool wants them: patterns from the root of the checkout."""
        return [_EXECUTION + source for source in self.sources]

    @property
    def test_arguments(self) -> list[str]:
        """Arguments of pytest."""
        return [*(_TESTS + test for test in self.tests), "-k", self.without]


ROOMS: Final = {
    "orders": Room(("orders/*",), ("orders",)),
    "proposals": Room(("proposals.py", "proposal_files.py"), ("test_proposals.py",), "not postgres and not login"),
}

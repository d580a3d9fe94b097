"""Rooms of the executor for mutation tests: the code to change, and the quick tests to run on each mutant."""

from dataclasses import dataclass
from typing import Final

_EXECUTION: Final = "kalshi_pipelines/execution/"
_TESTS: Final = "kalshi_pipelines_tests/execution/"
_JOURNAL: Final = (
    "anchor_trust", "anchoring", "anchors", "caps", "counting", "driver_query", "errors", "intent_rows", "journal",
    "path_claim", "reading/*", "records", "transaction", "writing/*",
)  # fmt: skip
#: Tests on Postgres check the same as those on SQLite, and take longer.
_QUICK: Final = "not postgres"
UNSHRUNK: Final = ("-p", "kalshi_pipelines_tests.tools.mutants.unshrunk")


@dataclass(frozen=True)
class Room:
    """Code of the executor that is mutated, and the tests to run on each of its mutants.

    Attributes:
        sources: Patterns of the files to mutate, relative to ``execution/``.
        tests: Test files, relative to the folder of the executor's tests.
        without: An expression for pytest's ``-k`` that leaves tests out. Tests that start processes are left out,
            because these processes run the unchanged code on disk.
        makes_journals: Whether the code creates the journal's tables. If not, all mutants share one finished journal.
        seconds: Time limit of a single test. Some tests wait until an account stops changing.
    """

    sources: tuple[str, ...]
    tests: tuple[str, ...]
    without: str = _QUICK
    makes_journals: bool = False
    seconds: int = 20

    @property
    def source_patterns(self) -> list[str]:
        """The patterns of the files to mutate, relative to the checkout, as mutmut expects them."""
        return [_EXECUTION + source for source in self.sources]

    @property
    def test_arguments(self) -> list[str]:
        """The arguments that make pytest run the tests of this part of the executor."""
        fresh = ["-p", "kalshi_pipelines_tests.tools.mutants.fresh_journals"] if self.makes_journals else []
        return [*(_TESTS + test for test in self.tests), "-k", self.without, *UNSHRUNK, *fresh]


ROOMS: Final = {
    "orders": Room(("orders/*",), ("orders",)),
    "inbox": Room(("inbox/*",), ("inbox",), f"{_QUICK} and not F39"),
    "configuration": Room(("configuration.py",), ("test_configuration.py", "gates/test_arming.py")),
    "gates": Room(("gates/*",), ("gates",)),
    "journal": Room(
        tuple(f"journal/{name}.py" for name in _JOURNAL),
        (
            "journal/test_ledger.py",
            "journal/test_leaving.py",
            "journal/test_refusals.py",
            "journal/test_facts.py",
            "journal/test_reading.py",
            "threats/test_journal_threats.py",
            "audit/test_verification.py",
            "journal/test_anchors.py",
            "journal/test_anchor_trust.py",
            "journal/test_path_claim.py",
            "reconciliation/test_guards.py",
            "reconciliation/test_rows.py",
            "kill/test_halt_guards.py",
            "kill/test_release.py",
            "executor/test_executor_guards.py",
            "executor/test_session_guards.py",
        ),
        f"{_QUICK} and not process",
        seconds=60,
    ),
    "schema": Room(
        ("journal/engine.py", "journal/guards/*.py", "journal/migrations.py", "journal/tables/*.py"),
        (
            "journal/test_migrations.py",
            "journal/test_refusals.py",
            "audit/test_verification.py",
            "threats/test_journal_threats.py",
        ),
        "not process",
        makes_journals=True,
        seconds=60,
    ),
    "postgres": Room(
        ("journal/deferred.py", "journal/postgres_pipeline.py"),
        ("journal/test_deferred.py", "journal/test_postgres_pipeline.py"),
        "journal",
    ),
    "audit": Room(("audit/*",), ("audit",), f"{_QUICK} and not golden"),
    "transport": Room(("transport/*",), ("transport",)),
    "executor": Room(
        ("executor/*",),
        ("executor/test_executor_guards.py", "executor/test_session_guards.py"),
    ),
    "reconciliation": Room(
        ("reconciliation/*",), tuple(f"reconciliation/test_{name}.py" for name in ("guards", "rows", "matching"))
    ),
    "kill": Room(
        ("kill/*",),
        ("kill/test_halt_guards.py", "kill/test_registry.py", "kill/test_release.py", "kill/test_switch.py"),
    ),
    "service": Room(
        ("__main__.py", "service/*.py", "service/*/*.py", "text.py"),
        tuple(
            f"service/test_{name}.py"
            for name in ("commands", "arguments", "trading_session", "live_account", "audit", "kill_switch")
        ),
        f"{_QUICK} and not F39",
    ),
}

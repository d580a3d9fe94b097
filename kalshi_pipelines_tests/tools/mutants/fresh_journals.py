"""A pytest plugin for mutants of the code that creates the journal's tables: each mutant creates its own journal."""

from kalshi_pipelines_tests.support.migrated import journal_at_head


def pytest_sessionstart() -> None:
    """Forget the cached journal, which the unchanged code created."""
    journal_at_head.cache_clear()

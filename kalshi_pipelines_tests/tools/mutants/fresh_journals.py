"""A pytest plugin for mutants of the code that creates journal tables. Each mutant creates its own journal."""

from kalshi_pipelines_tests.support.migrated import journal_at_head


def pytest_sessionstart() -> None:
    """Discard the cached journal, which was created without the mutant."""
    journal_at_head.cache_clear()

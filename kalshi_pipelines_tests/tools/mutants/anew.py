"""A plugin of pytest for mutants of what makes the journal's tables: each gets a journal made by itself."""

from kalshi_pipelines_tests.support.migrated import journal_at_head


def pytest_sessionstart() -> None:
    """Forget the journal that was made before the mutant."""
    journal_at_head.cache_clear()

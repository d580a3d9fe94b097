"""Tests that every threat has a test, and that the generated pages in docs/ are up to date."""

from kalshi_pipelines_tests.support.documents import documents
from kalshi_pipelines_tests.support.execution.catalogue import THREATS, threat_tests


def test_every_threat_from_F01_to_F81_has_a_test() -> None:
    tests = threat_tests()
    assert sorted(THREATS) == list(range(1, 82))
    assert sorted(tests) == sorted(THREATS)
    assert [f"F{number:02}" for number, found in tests.items() if not found] == []


def test_generated_pages_of_docs_are_up_to_date() -> None:
    old = [page.name for page, text in documents().items() if page.read_text() != text]
    assert old == [], "run python -m kalshi_pipelines_tests.support.documents"

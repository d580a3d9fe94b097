"""The examples of docs/reading_history.md give the results that the page shows."""

from pathlib import Path

import pytest

from kalshi_pipelines_tests.support.data.history_page import examples, recorded_data, run_example
from kalshi_pipelines_tests.support.history.recorded_frames import FRAMES


@pytest.mark.skipif(not FRAMES.is_file(), reason="the recorded frames are not on this machine")
def test_examples_print_the_results_that_the_page_shows(migrated_file: Path) -> None:
    found = examples()
    assert [kind for kind, _, _ in found].count("sql") == 4
    assert len(found) == 7
    with recorded_data(migrated_file) as folder:
        for kind, code, result in found:
            assert run_example(kind, code, folder) == result, code

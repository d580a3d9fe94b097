import pytest

from kalshi_pipelines.contracts.comparison.checking import check
from kalshi_pipelines.contracts.language.differences import Severity
from kalshi_pipelines_tests.support.checkout import RECORDINGS
from kalshi_pipelines_tests.support.contracts.incidents import checked_incidents, table
from kalshi_pipelines_tests.support.contracts.recorded import baseline_of, recordings, siblings

pytestmark = pytest.mark.skipif(not (RECORDINGS / "index.json").exists(), reason="no recordings beside the project")

LEAST_DETECTED = 0.95
LEAST_GRAVE = 0.90


def _files(*folders: str) -> list[str]:
    if not (RECORDINGS / "index.json").exists():
        return []
    return [file for file, recording in recordings().items() if recording.folder in folders]


@pytest.mark.parametrize("file", _files("derived_3_34_0", "prod_2026_08", "demo_2026_06"))
def test_an_unmodified_recording_has_no_grave_difference(file: str) -> None:
    recording = recordings()[file]
    for known in ((), (recording,), tuple(siblings(recording)), (recording, *siblings(recording))):
        found = check(recording.response, baseline_of(*known)).differences
        assert [each for each in found if each.severity is not Severity.ADDITIVE] == []


@pytest.mark.parametrize("file", _files("prod_2026_08", "demo_2026_06"))
def test_a_key_required_since_a_later_day_is_reported_with_the_day(file: str) -> None:
    for each in check(recordings()[file].response).differences:
        assert each.before.startswith("required by the specification since 2026-") or each.place.endswith(
            "._truncated_from"
        )


def test_current_recordings_without_a_baseline_have_no_difference() -> None:
    found = {file: check(recordings()[file].response).differences for file in _files("derived_3_34_0")}
    assert {file: differences for file, differences in found.items() if differences} == {}


def test_nearly_all_real_incidents_are_detected(capsys: pytest.CaptureFixture[str]) -> None:
    every = checked_incidents()
    reached = [each for each in every if each.reach in {"answer", "host"}]
    breaking = [each for each in reached if each.breaking]
    with capsys.disabled():
        print("\n" + table(every))  # noqa: T201
    assert len(reached) >= 90
    assert sum(each.is_detected for each in reached) / len(reached) >= LEAST_DETECTED, table(every)
    assert sum(each.is_grave for each in breaking) / len(breaking) >= LEAST_GRAVE, table(every)

"""Settings of a stop: read one by one, so that no wrong value prevents a stop."""

from pathlib import Path

import pytest

from kalshi_pipelines.execution.kill.registry import JournalEntry
from kalshi_pipelines.execution.service.stopping.stop_report import StopReport, TargetStop, one_line
from kalshi_pipelines.execution.service.stopping.stop_settings import StopSettings, StopTarget, without_password

SERVER_URL = "postgresql+psycopg://ann:hunter2@db:5432/trading?sslpassword=hunter3&sslmode=require"


@pytest.fixture(autouse=True)
def _in_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def read(monkeypatch: pytest.MonkeyPatch, **variables: str) -> StopSettings:
    for name, value in variables.items():
        monkeypatch.setenv(f"KALSHI_{name}", value)
    return StopSettings.from_environment()


def test_targets_without_variables_are_in_the_current_folder(tmp_path: Path) -> None:
    settings = StopSettings.from_environment()
    (target,) = settings.targets
    assert (target.environment, target.folder) == ("sandbox", tmp_path / "data" / "sandbox")
    assert target.sqlite_file == tmp_path / "data" / "sandbox" / "journal.db"
    assert target.has_own_folder
    assert not settings.names_a_place
    assert settings.key is None
    assert (settings.problems, settings.notes) == ((), ())


def test_F63_unusable_environment_means_every_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = read(monkeypatch, ENVIRONMENT="Sandbox")
    assert [target.environment for target in settings.targets] == ["sandbox", "demo", "prod"]
    assert settings.notes == ("KALSHI_ENVIRONMENT cannot be used, so the journals of all environments are stopped.",)


def test_variable_in_two_spellings_stops_both_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("kalshi_data_dir", "other")
    settings = read(monkeypatch, DATA_DIR=str(tmp_path / "data"))
    assert {target.folder for target in settings.targets} == {
        tmp_path / "data" / "sandbox",
        tmp_path / "other" / "sandbox",
    }
    assert settings.notes == ("KALSHI_DATA_DIR has two values, because it is set in two spellings.",)


def test_env_file_fills_in_what_the_process_does_not_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"KALSHI_ENVIRONMENT=demo\nKALSHI_DATA_DIR=/y\nKALSHI_NEWS_FEEDS=\xff\n")
    (target,) = read(monkeypatch, DATA_DIR="/x").targets
    assert (target.environment, target.folder) == ("demo", Path("/x/demo"))


def test_F63_unreadable_env_file_makes_the_place_uncertain(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    (problem,) = StopSettings.from_environment().problems
    assert problem == "the file .env cannot be read (Is a directory), so it is not known which journal it names"


def test_home_that_cannot_be_found_makes_the_place_uncertain(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = read(monkeypatch, DATA_DIR="~nobody-has-this-name/data").problems
    assert problem.startswith("KALSHI_DATA_DIR cannot be read: ")


def test_deleted_current_folder_makes_a_relative_place_uncertain(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert StopSettings.from_environment().problems == ()
    (problem,) = read(monkeypatch, DATA_DIR="data").problems
    assert problem == "KALSHI_DATA_DIR is a relative path, and the current folder no longer exists"
    monkeypatch.chdir(tmp_path)


def test_places_and_entries_never_show_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = read(monkeypatch, JOURNAL_URL=SERVER_URL, ENVIRONMENT="prod").targets
    assert target.journal == SERVER_URL
    assert target.place == "postgresql://db:5432/trading"
    assert not target.has_own_folder
    assert without_password(SERVER_URL) == "postgresql+psycopg://ann@db:5432/trading?sslmode=require"


def test_password_of_a_registered_journal_is_read_where_its_session_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry = JournalEntry("prod", without_password(SERVER_URL), "/x/prod", "/x/anchors", str(tmp_path / "there"))
    assert StopSettings.from_environment().target_of(entry).journal == without_password(SERVER_URL)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / ".env").write_text(f"KALSHI_WAREHOUSE_URL={SERVER_URL}\n")
    assert StopSettings.from_environment().target_of(entry).journal == SERVER_URL
    (tmp_path / "there" / ".env").unlink()
    assert read(monkeypatch, JOURNAL_URL=SERVER_URL).target_of(entry).journal == SERVER_URL


def test_F63_key_is_read_without_the_other_settings_of_trading(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = {"TRADE_ORDER_DOLLARS": "500", "TRADE_MODE": "Live", "TRADE_NO_SUCH": "1", "TRADE_SUBACCOUNT": "64"}
    settings = read(
        monkeypatch, TRADE_API_KEY_ID="k", TRADE_PRIVATE_KEY_FILE="key.pem", TRADE_URL="http://127.0.0.1:1", **wrong
    )
    key = settings.key
    assert key is not None
    assert (key.key_id, key.file, key.url, key.subaccount) == ("k", tmp_path / "key.pem", "http://127.0.0.1:1", 0)
    assert not settings.has_clear_subaccount
    assert settings.notes == ("KALSHI_TRADE_SUBACCOUNT cannot be used, so 0 is taken.",)


def test_data_folder_of_a_resource_replaces_all_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = read(monkeypatch, JOURNAL_URL=SERVER_URL, DATA_DIR="/x").with_data_dir(tmp_path)
    (target,) = settings.targets
    assert target.sqlite_file == tmp_path / "sandbox" / "journal.db"


HERE = StopTarget("sandbox", Path("/x/sandbox"), "sqlite:////x/sandbox/journal.db", Path("/x/anchors"), True)
SERVER = StopTarget("prod", Path("/x/prod"), "postgresql://db/trading", Path("/x/anchors"), True)
END = "End the trading processes, or delete the trade key on the exchange's page."
AGAIN = "Run the command again, or delete the trade key on the exchange's page."


@pytest.mark.parametrize(
    ("report", "succeeded", "last"),
    [
        (
            StopReport(1, (TargetStop(HERE, 3, sessions=("session a (live) of process 1",)),)),
            True,
            "ENGAGED: no new order is sent in 1 journal (1 session seen). Resting orders stay; level 2 cancels them.",
        ),
        (
            StopReport(1, (TargetStop(HERE, None, is_in_file=True, problem="locked"), TargetStop(SERVER, 4))),
            True,
            "ENGAGED: no new order is sent in 2 journals (0 sessions seen). Resting orders stay; level 2 cancels them.",
        ),
        (
            StopReport(2, (TargetStop(HERE, 3),), flat=("sandbox, sub-account 0 (proved in round 1)",)),
            True,
            "ENGAGED AND FLAT: no new order is sent in 1 journal (0 sessions seen), and no order rests in sandbox, "
            "sub-account 0 (proved in round 1).",
        ),
        (
            StopReport(1),
            False,
            "NOT ENGAGED: new orders can still be sent. no journal was found here, and none is registered on this "
            f"computer. {END}",
        ),
        (
            StopReport(1, (TargetStop(HERE, None, is_in_file=True, is_absent=True, problem="it does not exist"),)),
            False,
            "NOT ENGAGED: new orders can still be sent. sandbox, emergency file /x/sandbox/kill.emergency.jsonl, not "
            f"in the journal /x/sandbox/journal.db: it does not exist. {END}",
        ),
        (
            StopReport(1, (TargetStop(HERE, 3), TargetStop(SERVER, None, is_in_file=True, problem="no answer"))),
            False,
            "NOT ENGAGED EVERYWHERE: new orders can still be sent. prod, emergency file "
            f"/x/prod/kill.emergency.jsonl, not in the journal postgresql://db/trading: no answer. {END}",
        ),
        (
            StopReport(1, (TargetStop(HERE, 3),), problems=("the registry /r cannot be read",)),
            False,
            f"NOT ENGAGED EVERYWHERE: new orders can still be sent. the registry /r cannot be read. {END}",
        ),
        (
            StopReport(1, (TargetStop(HERE, None, problem="full"),), canceled=("sandbox, sub-account 0",)),
            False,
            "NOT ENGAGED, ORDERS CANCELED: a running session can still send new orders. sandbox, journal "
            f"/x/sandbox/journal.db: full. Canceled in sandbox, sub-account 0. {END}",
        ),
        (
            StopReport(1, (TargetStop(HERE, 3, under_way=1),)),
            False,
            "ENGAGED, 1 ORDER UNDER WAY: no new order is sent, but 1 order sent before may still arrive at "
            "the exchange. Level 2 cancels them and proves it.",
        ),
        (
            StopReport(1, (TargetStop(HERE, 3, unread="it hangs", under_way=1),)),
            False,
            "ENGAGED, ORDERS MAY BE UNDER WAY: no new order is sent, but orders sent before may still arrive at the "
            "exchange, because a journal could not be read. journal /x/sandbox/journal.db: it hangs. Level 2 cancels "
            "them and proves it.",
        ),
        (
            StopReport(2, (TargetStop(HERE, 3, unread="it hangs"),), flat=("sandbox, sub-account 0",)),
            True,
            "ENGAGED AND FLAT: no new order is sent in 1 journal (0 sessions seen), and no order rests in sandbox, "
            "sub-account 0.",
        ),
        (
            StopReport(2, (TargetStop(HERE, 3, under_way=1),), flat=("sandbox, sub-account 0",)),
            True,
            "ENGAGED AND FLAT: no new order is sent in 1 journal (0 sessions seen), and no order rests in sandbox, "
            "sub-account 0.",
        ),
        (
            StopReport(2, (TargetStop(HERE, 3),), unflat=("no key",)),
            False,
            f"ENGAGED, NOT FLAT: orders may still rest. no key. {AGAIN}",
        ),
        (
            StopReport(2, (), unflat=("no key",)),
            False,
            "NOT ENGAGED, NOT FLAT: new orders can still be sent, and orders may still rest. no journal was found "
            f"here, and none is registered on this computer. no key. {END}",
        ),
    ],
)
def test_F61_last_line_tells_what_was_proved(report: StopReport, succeeded: bool, last: str) -> None:
    assert report.last_line == last
    assert report.succeeded is succeeded
    assert [*report.lines()][-1] == last


def test_lines_are_printable_and_short() -> None:
    assert one_line("a\x1b[2J\nb") == "a [2J b"
    assert len(one_line("x" * 5_000)) < 700

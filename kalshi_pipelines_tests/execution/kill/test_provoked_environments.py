"""``kill`` in provoked environments: it proves that trading is stopped, or it fails loudly.

Each case runs ``kill`` as a process of its own. With status 0, a session of the original shell is stopped. With any
other status, the last line begins with words in capitals that say so.
"""

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.kill.registry import read_registry
from kalshi_pipelines_tests.support.execution.kill_room import (
    KillRoom,
    copy_of,
    make_unreadable,
    obey_permissions,
    remove_folder,
    remove_tree,
)
from kalshi_pipelines_tests.support.execution.member_reconciler import by_hand
from kalshi_pipelines_tests.support.execution.sandbox_member import SandboxMember, ready_journal, sandbox_with_member

ENGAGED = "ENGAGED: "
FLAT = "ENGAGED AND FLAT: "
MAYBE = "ENGAGED, ORDERS MAY BE UNDER WAY: "
NOT_FLAT = "ENGAGED, NOT FLAT: "
NOT = "NOT ENGAGED: "
NOT_EVERYWHERE = "NOT ENGAGED EVERYWHERE: "
CANCELED = "NOT ENGAGED, ORDERS CANCELED: "
NOT_BOTH = "NOT ENGAGED, NOT FLAT: "

Provoke = Callable[[KillRoom], None]
#: Each case: its name, what it provokes, the beginning of the last line, and the exit status.
CASES: list[tuple[str, Provoke, str, int]] = []


def case(last_line: str, status: int | None = None) -> Callable[[Provoke], Provoke]:
    """Add a case, which is named after its function."""

    def add(provoke: Provoke) -> Provoke:
        expected = (0 if last_line in {ENGAGED, FLAT} else 1) if status is None else status
        CASES.append((provoke.__name__, provoke, last_line, expected))
        return provoke

    return add


@case(ENGAGED)
def plain(room: KillRoom) -> None:
    del room


@case(ENGAGED)
def no_reason(room: KillRoom) -> None:
    room.arguments = []


# Wrong places.


@case(NOT)
def wrong_folder(room: KillRoom) -> None:
    room.set(DATA_DIR="data")
    room.cwd = room.elsewhere


@case(NOT_EVERYWHERE)
def wrong_folder_and_registered_journal(room: KillRoom) -> None:
    room.register()
    room.set(DATA_DIR="data")
    room.cwd = room.elsewhere


@case(NOT)
def no_variables_and_nothing_registered(room: KillRoom) -> None:
    room.forget_variables()
    room.cwd = room.elsewhere


@case(ENGAGED)
def no_variables_and_registered_journal(room: KillRoom) -> None:
    room.register()
    room.forget_variables()
    room.cwd = room.elsewhere


@case(ENGAGED)
def no_variables_and_running_session(room: KillRoom) -> None:
    room.register_session()
    room.forget_variables()
    room.cwd = room.elsewhere


@case(ENGAGED)
def session_whose_process_is_gone(room: KillRoom) -> None:
    entry = room.register_session()
    file = room.registry / f"{entry.name}.json"
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    room.forget_variables()
    room.cwd = room.elsewhere


@case(ENGAGED)
def several_sessions(room: KillRoom) -> None:
    shutil.copytree(room.data, room.folder / "second")
    second = room.folder / "second" / "sandbox"
    room.register_session()
    room.register_session(folder=str(second), journal=f"sqlite:///{second / 'journal.db'}")


@case(NOT_EVERYWHERE)
def one_session_cannot_be_reached(room: KillRoom) -> None:
    room.register_session(folder=str(room.folder / "gone"), journal="postgresql://127.0.0.1:1/trading")


@case(NOT)
def folder_of_a_running_session_is_gone(room: KillRoom) -> None:
    room.register_session()
    remove_tree(room.data)
    room.forget_variables()


@case(ENGAGED)
def only_this_journal(room: KillRoom) -> None:
    room.register_session(folder=str(room.folder / "gone"), journal="postgresql://127.0.0.1:1/trading")
    room.arguments += ["--only-this-journal"]


@case(NOT)
def data_folder_is_missing(room: KillRoom) -> None:
    room.set(DATA_DIR=str(room.folder / "missing"))


@case(NOT)
def journal_of_the_environment_is_missing(room: KillRoom) -> None:
    # On a real exchange the user's own registry counts, too, which is not the test's.
    room.set(ENVIRONMENT="prod")
    room.arguments += ["--only-this-journal"]


@case(NOT)
def journal_is_deleted_and_its_folder_is_not(room: KillRoom) -> None:
    room.journal.unlink()


@case(NOT)
def named_journal_does_not_exist(room: KillRoom) -> None:
    room.set(JOURNAL_URL=f"sqlite:///{room.folder / 'new' / 'journal.db'}")


@case(ENGAGED)
def deleted_current_folder(room: KillRoom) -> None:
    room.shell = remove_folder(room.folder / "cwd")


@case(NOT)
def deleted_current_folder_and_relative_data_folder(room: KillRoom) -> None:
    room.set(DATA_DIR="data")
    room.shell = remove_folder(room.folder / "cwd")


# Wrong settings.


@case(ENGAGED)
def wrong_setting_of_news(room: KillRoom) -> None:
    room.set(NEWS_RESULTS="1000", NEWS_RUN_DOLLARS="many")


@case(ENGAGED)
def wrong_settings_of_sandbox_and_alerts(room: KillRoom) -> None:
    room.set(SANDBOX_MARKETS="lots", ALERT_MINIMUM_SEVERITY="high", EXECUTOR="none")


@case(ENGAGED)
def wrong_environment(room: KillRoom) -> None:
    room.set(ENVIRONMENT="Sandbox")


@case(ENGAGED)
def half_a_key(room: KillRoom) -> None:
    room.set(API_KEY_ID="x", TRADE_PRIVATE_KEY_FILE="y")


@case(ENGAGED)
def wrong_and_unknown_settings_of_trading(room: KillRoom) -> None:
    room.set(TRADE_ORDER_DOLLARS="500", TRADE_SUBACCOUNT="x", TRADE_MODE="Live", TRADE_NO_SUCH_SETTING="1")


@case(ENGAGED)
def variable_in_two_spellings(room: KillRoom) -> None:
    room.variables["kalshi_data_dir"] = str(room.folder / "missing")


@case(ENGAGED)
def white_space_around_a_value(room: KillRoom) -> None:
    room.set(DATA_DIR=f" {room.data} ", ENVIRONMENT="sandbox ")


@case(NOT)
def home_of_nobody(room: KillRoom) -> None:
    room.set(DATA_DIR="~nobody-has-this-name/data")


@case(ENGAGED)
def warehouse_that_cannot_be_used(room: KillRoom) -> None:
    room.set(WAREHOUSE_URL="nonsense", LAKE_DIR="s3://bucket")


@case(NOT_EVERYWHERE)
def unreadable_env_file(room: KillRoom) -> None:
    (room.folder / ".env").write_text("KALSHI_JOURNAL_URL=postgresql://db/trading\n")
    make_unreadable(room.folder / ".env")
    room.prepare = obey_permissions


@case(NOT_EVERYWHERE)
def env_file_is_a_pipe_that_nobody_writes_to(room: KillRoom) -> None:
    os.mkfifo(room.folder / ".env")


@case(ENGAGED)
def no_threads(room: KillRoom) -> None:
    room.run_at_start(
        'import threading\ndef refuse(_): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = refuse\n"
    )


@case(ENGAGED)
def journal_is_used_with_two_folders(room: KillRoom) -> None:
    (room.folder / "second" / "sandbox").mkdir(parents=True)
    room.register(folder=str(room.folder / "second" / "sandbox"))


@case(NOT_EVERYWHERE)
def journal_is_locked_and_used_with_two_folders(room: KillRoom) -> None:
    journal_is_used_with_two_folders(room)
    room.lock_journal()


@case(ENGAGED)
def env_file_with_bytes_that_are_no_text(room: KillRoom) -> None:
    (room.folder / ".env").write_bytes(b"\xff\xfe\nKALSHI_NEWS_FEEDS='\n")


@case(ENGAGED)
def env_file_names_the_folder(room: KillRoom) -> None:
    room.forget_variables()
    (room.folder / ".env").write_text(f"KALSHI_DATA_DIR={room.data}\nKALSHI_NO_SUCH=1\n")


# Wrong users and terminals.


@case(ENGAGED)
def user_without_a_name(room: KillRoom) -> None:
    room.arguments = ["--why", "panic"]
    for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
        room.variables.pop(name, None)
    room.run_at_start(
        "import pwd\ndef unknown(*_): raise KeyError('getpwuid')\npwd.getpwuid = pwd.getpwnam = unknown\n"
    )


@case(ENGAGED)
def no_home(room: KillRoom) -> None:
    del room.variables["HOME"]


@case(ENGAGED)
def no_locale(room: KillRoom) -> None:
    room.variables |= {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    room.arguments = ["--by", "Zoë", "--why", "panic \N{POLICE CARS REVOLVING LIGHT}"]


@case(ENGAGED)
def reason_that_is_no_text(room: KillRoom) -> None:
    room.arguments = ["--by", "bob", "--why", os.fsdecode(b"\xff\xfe")]


@case("", 0)
def closed_output(room: KillRoom) -> None:
    room.shell = '"$@" >&- 2>&-'


@case(ENGAGED)
def closed_standard_output(room: KillRoom) -> None:
    room.shell = '"$@" >&-'


@case(ENGAGED)
def full_standard_output(room: KillRoom) -> None:
    room.shell = '"$@" >/dev/full'


@case("", 0)
def output_that_nobody_reads(room: KillRoom) -> None:
    room.shell = 'mkfifo pipe; exec 3<>pipe; exec 4>pipe; exec 3<&-; "$@" >&4 2>&4'


@case(NOT, 2)
def wrong_argument(room: KillRoom) -> None:
    room.arguments += ["--level", "3"]


@case(ENGAGED)
def broken_packages_that_stopping_does_not_need(room: KillRoom) -> None:
    room.break_modules("dagster", "pyarrow", "pandas", "numpy", "yaml", "httpx", "cryptography", "rich")


@case(ENGAGED)
def broken_database_library(room: KillRoom) -> None:
    room.break_modules("sqlalchemy", "pydantic", "pydantic_settings", "alembic")


@case(ENGAGED)
def broken_reader_of_env_files(room: KillRoom) -> None:
    room.break_modules("dotenv")


# Broken disks, files and databases.


@case(NOT)
def read_only_disk(room: KillRoom) -> None:
    room.journal.chmod(0o400)
    room.environment_dir.chmod(0o500)
    room.prepare = obey_permissions


@case(NOT)
def full_disk(room: KillRoom) -> None:
    room.prepare = write_nothing


@case(ENGAGED)
def emergency_file_is_a_folder(room: KillRoom) -> None:
    (room.environment_dir / "kill.emergency.jsonl").mkdir()


@case(ENGAGED)
def emergency_file_is_on_a_full_disk(room: KillRoom) -> None:
    (room.environment_dir / "kill.emergency.jsonl").symlink_to("/dev/full")


@case(ENGAGED)
def anchors_cannot_be_written(room: KillRoom) -> None:
    room.set(JOURNAL_ANCHORS="/dev/full")


@case(ENGAGED)
def journal_is_locked(room: KillRoom) -> None:
    room.lock_journal()


@case(NOT)
def journal_is_locked_and_the_emergency_file_is_a_folder(room: KillRoom) -> None:
    room.lock_journal()
    (room.environment_dir / "kill.emergency.jsonl").mkdir()


@case(ENGAGED)
def journal_is_corrupt(room: KillRoom) -> None:
    room.journal.write_bytes(b"not a database " * 1_000)


@case(MAYBE)
def journal_of_a_running_session_is_corrupt(room: KillRoom) -> None:
    room.register_session()
    room.journal.write_bytes(b"not a database " * 1_000)


@case(ENGAGED)
def journal_of_a_session_whose_process_is_gone_is_corrupt(room: KillRoom) -> None:
    session_whose_process_is_gone(room)
    room.journal.write_bytes(b"not a database " * 1_000)


@case(MAYBE)
def broken_database_library_and_a_running_session(room: KillRoom) -> None:
    room.register_session()
    room.break_modules("sqlalchemy")


@case(NOT)
def journal_is_empty(room: KillRoom) -> None:
    room.journal.write_bytes(b"")


@case(NOT)
def file_was_never_set_up_as_a_journal(room: KillRoom) -> None:
    room.journal.unlink()
    leave_database(room.journal)


@case(NOT)
def empty_journal_in_the_current_folder(room: KillRoom) -> None:
    room.forget_variables()
    leave_empty_journal(room)


@case(ENGAGED)
def empty_journal_in_the_current_folder_and_registered_journal(room: KillRoom) -> None:
    room.register()
    empty_journal_in_the_current_folder(room)


@case(ENGAGED)
def other_database_in_the_current_folder_and_registered_journal(room: KillRoom) -> None:
    room.register()
    empty_journal_in_the_current_folder(room)
    leave_database(room.elsewhere / "data" / "sandbox" / "journal.db")


@case(ENGAGED)
def journal_is_not_migrated(room: KillRoom) -> None:
    with sqlite3.connect(room.journal) as connection:
        connection.execute("UPDATE journal_version SET version_num = '0001'")
    connection.close()


@case(NOT)
def journal_of_another_environment(room: KillRoom) -> None:
    shutil.copytree(room.environment_dir, room.data / "demo")
    room.set(ENVIRONMENT="demo")
    room.arguments += ["--only-this-journal"]


@case(NOT)
def dead_database(room: KillRoom) -> None:
    room.set(JOURNAL_URL="postgresql://ann:hunter2@127.0.0.1:1/trading")


@case(NOT)
def hanging_database(room: KillRoom) -> None:
    room.set(JOURNAL_URL=f"postgresql://ann:hunter2@127.0.0.1:{room.hanging_server()}/trading")


@case(NOT)
def address_of_the_journal_is_nonsense(room: KillRoom) -> None:
    room.set(JOURNAL_URL="nonsense")


@case(NOT_EVERYWHERE)
def unreadable_registry(room: KillRoom) -> None:
    room.register()
    make_unreadable(room.registry)
    room.prepare = obey_permissions


@case(NOT_EVERYWHERE)
def broken_entry_of_the_registry(room: KillRoom) -> None:
    room.registry.mkdir()
    (room.registry / "session-1.json").write_text("{")


@case(ENGAGED)
def registry_is_a_file(room: KillRoom) -> None:
    room.registry.write_text("")


# Level 2.


@case(NOT_FLAT)
def level_2_without_a_key(room: KillRoom) -> None:
    room.arguments += ["--level", "2"]


@case(NOT_FLAT)
def level_2_with_an_unreadable_key(room: KillRoom) -> None:
    file = room.folder / "key.pem"
    file.write_text("a key")
    make_unreadable(file)
    room.set(TRADE_API_KEY_ID="a", TRADE_PRIVATE_KEY_FILE=str(file), TRADE_URL="http://127.0.0.1:1")
    room.arguments += ["--level", "2"]
    room.prepare = obey_permissions


@case(NOT_FLAT)
def level_2_with_the_address_of_another_environment(room: KillRoom) -> None:
    room.set(TRADE_API_KEY_ID="a", TRADE_PRIVATE_KEY_FILE="key.pem", TRADE_URL="https://elsewhere.example")
    room.arguments += ["--level", "2"]


@case(NOT_BOTH)
def level_2_in_the_wrong_folder_without_a_key(room: KillRoom) -> None:
    room.forget_variables()
    room.cwd = room.elsewhere
    room.arguments += ["--level", "2"]


def leave_empty_journal(room: KillRoom) -> None:
    """Let the current folder be one with an empty file in the place of a journal."""
    room.cwd = room.elsewhere
    (room.cwd / "data" / "sandbox").mkdir(parents=True)
    (room.cwd / "data" / "sandbox" / "journal.db").touch()


def leave_database(file: Path) -> None:
    """Leave a database that is no journal."""
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE notes (text TEXT)")
    connection.close()


def write_nothing() -> None:
    """Let no file of this process grow, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.fixture(scope="module")
def released_journal(tmp_path_factory: pytest.TempPathFactory, migrated_journal_file: Path) -> bytes:
    """The content of a journal of the sandbox whose kill switch is released."""
    file = tmp_path_factory.mktemp("released") / "journal.db"
    shutil.copy(migrated_journal_file, file)
    engine: sa.Engine = open_journal(f"sqlite:///{file}")
    ready_journal(engine)
    engine.dispose()
    return copy_of(file)


@pytest.fixture
def room(released_journal: bytes, tmp_path: Path) -> Iterator[KillRoom]:
    made = KillRoom.build(tmp_path / "room", released_journal)
    with made.stack:
        yield made
    remove_tree(made.folder)


def last_line(said: str) -> str:
    return said.strip().splitlines()[-1] if said.strip() else ""


@pytest.mark.parametrize(("provoke", "beginning", "status"), [each[1:] for each in CASES], ids=[c[0] for c in CASES])
def test_F61_F63_kill_stops_trading_or_fails_loudly(
    room: KillRoom, provoke: Provoke, beginning: str, status: int
) -> None:
    before = room.why_stopped()
    assert before is None
    provoke(room)
    folders = {path for path in room.folder.rglob("*") if path.is_dir()}
    done = room.run()
    last = last_line(done.stderr) if done.returncode else last_line(done.stdout) or last_line(done.stderr)
    assert (done.returncode, last[: len(beginning)]) == (status, beginning), (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    assert "hunter2" not in done.stdout + done.stderr
    if status == 0:
        # The claim is true: no session of the shell in which the journal was released sends an order.
        assert room.why_stopped() is not None
    elif beginning.startswith("NOT"):
        assert last.startswith("NOT ENGAGED")
    assert {path for path in room.folder.rglob("*") if path.is_dir()} <= folders


@pytest.mark.parametrize(
    "provoke",
    [
        wrong_folder_and_registered_journal,
        unreadable_env_file,
        broken_entry_of_the_registry,
        one_session_cannot_be_reached,
        level_2_without_a_key,
    ],
    ids=lambda provoke: provoke.__name__,
)
def test_F61_kill_that_is_not_proved_everywhere_still_stops_what_it_finds(room: KillRoom, provoke: Provoke) -> None:
    provoke(room)
    assert room.run().returncode == 1
    assert "panic" in str(room.why_stopped())


def test_kill_names_the_sessions_that_it_stopped_and_forgets_ended_ones(room: KillRoom) -> None:
    several_sessions(room)
    entry = room.register_session()
    file = room.registry / f"{entry.name}.json"
    file.write_text(file.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
    said = room.run().stdout.splitlines()
    assert said[-1] == (
        "ENGAGED: no new order is sent in 2 journals (1 session seen). Resting orders stay; level 2 cancels them."
    )
    assert f"Seen: a session that is being opened (live) of process {os.getpid()}, sandbox, sub-account 0" in said
    assert len(read_registry((room.registry,)).sessions) == 2


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxMember]:
    """A sandbox with a member, for the cases that need an exchange."""
    with sandbox_with_member(tmp_path_factory.mktemp("exchange")) as member:
        yield member


def rest_an_order(member: SandboxMember) -> None:
    market = member.tradable()
    order = {"side": "bid", "count": "1.00", "price": market["yes_bid_dollars"], "ticker": market["ticker"]}
    terms = {"time_in_force": "good_till_canceled", "self_trade_prevention_type": "taker_at_cross"}
    assert by_hand(member, "POST", "/portfolio/events/orders", **order, **terms).status_code == 201


def resting(member: SandboxMember) -> int:
    return len(
        [
            order
            for order in by_hand(member, "GET", "/portfolio/orders").json()["orders"]
            if order["status"] == "resting"
        ]
    )


def set_key(room: KillRoom, member: SandboxMember) -> None:
    room.set(TRADE_API_KEY_ID=member.key_id, TRADE_PRIVATE_KEY_FILE=str(member.key_file), TRADE_URL=member.sandbox.url)


@pytest.mark.parametrize(
    ("provoke", "arguments", "beginning"),
    [
        (plain, ["--level", "2"], FLAT),
        (wrong_and_unknown_settings_of_trading, ["--level", "2"], NOT_FLAT),
        (wrong_setting_of_news, ["--level", "2"], FLAT),
        (wrong_environment, ["--level", "2"], FLAT),
        (full_disk, [], CANCELED),
        (full_disk, ["--level", "2"], CANCELED),
        (wrong_folder, [], CANCELED),
        (wrong_folder, ["--level", "2"], CANCELED),
        (dead_database, [], CANCELED),
        (no_variables_and_running_session, ["--level", "2"], FLAT),
    ],
)
def test_F63_kill_with_a_trade_key_cancels_when_it_must(
    exchange: SandboxMember, room: KillRoom, provoke: Provoke, arguments: list[str], beginning: str
) -> None:
    rest_an_order(exchange)
    provoke(room)
    set_key(room, exchange)
    room.arguments += [*arguments, "--patience", "20"]
    done = room.run()
    last = last_line(done.stdout if done.returncode == 0 else done.stderr)
    assert last.startswith(beginning), (done.stdout, done.stderr)
    assert done.returncode == (0 if beginning == FLAT else 1)
    assert resting(exchange) == 0


@pytest.mark.parametrize("is_hanging", [True, False])
def test_kill_of_level_2_without_an_exchange_engages_and_is_not_flat(
    exchange: SandboxMember, room: KillRoom, is_hanging: bool
) -> None:
    set_key(room, exchange)
    room.set(TRADE_URL=f"http://127.0.0.1:{room.hanging_server() if is_hanging else 1}")
    room.arguments += ["--level", "2", "--patience", "0"]
    done = room.run()
    assert (done.returncode, last_line(done.stderr)[: len(NOT_FLAT)]) == (1, NOT_FLAT), (done.stdout, done.stderr)
    assert "panic" in str(room.why_stopped())

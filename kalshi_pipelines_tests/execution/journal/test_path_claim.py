"""Tests of a live session's claim on its journal: one file, one path, seen by every process of this computer."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalHasTwoPaths
from kalshi_pipelines.execution.journal.journal import Journal
from kalshi_pipelines.execution.journal.path_claim import PathClaim, claim_path
from kalshi_pipelines_tests.support.execution.order_steps import order_steps

#: A program that claims the paths of its arguments, prints what happened, and keeps the claims until its input ends.
_PROGRAM = """
import sys
from pathlib import Path
from kalshi_pipelines.execution.journal.engine import open_journal
from kalshi_pipelines.execution.journal.errors import JournalHasTwoPaths
from kalshi_pipelines.execution.journal.path_claim import claim_path
ready = sys.argv[2:] and sys.stdin.readline()
try:
    claim = claim_path(Path(sys.argv[1]))
    print("claimed", flush=True)
except JournalHasTwoPaths as error:
    print(f"refused: {error}", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def file(sqlite_journal: sa.Engine) -> Path:
    """The file of a journal with an open connection."""
    order_steps(sqlite_journal)
    return Path(str(sqlite_journal.url.database))


def _process(path: Path, *more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, str(path), *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def _claimed_elsewhere(path: Path) -> Iterator[str]:
    """Claim a path in another process while the block runs, and yield what the process printed."""
    with _process(path) as process:
        assert process.stdout is not None
        yield process.stdout.readline()
        process.communicate("\n")


@contextmanager
def _bind_mount(file: Path, folder: Path) -> Iterator[Path]:
    """Mount a file at another path while the block runs. Skip the test if this user cannot mount."""
    folder.mkdir()
    target = folder / "mounted.db"
    target.touch()
    if subprocess.run(["mount", "--bind", file, target], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a file at another path")
    try:
        yield target
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)


def test_F67_second_path_of_a_mounted_journal_is_refused_and_both_are_named(file: Path, tmp_path: Path) -> None:
    with _bind_mount(file, tmp_path / "other") as target:
        claim = claim_path(file)
        with _claimed_elsewhere(target) as printed:
            assert printed.startswith("refused: ")
            assert str(file) in printed
            assert str(target) in printed
        claim.release()
        with _claimed_elsewhere(target) as printed:
            assert printed == "claimed\n"
            with pytest.raises(JournalHasTwoPaths):
                claim_path(file)
        claim_path(file).release()


def test_two_claims_of_one_path_share_the_journal(file: Path) -> None:
    claims = [claim_path(file), claim_path(file)]
    with _claimed_elsewhere(file) as printed:
        assert printed == "claimed\n"
    for claim in claims:
        claim.release()


def test_symbolic_links_of_file_and_folder_are_the_same_path(file: Path, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(file)
    (tmp_path / "folder").symlink_to(file.parent)
    claim = claim_path(file)
    for path in (tmp_path / "link.db", tmp_path / "folder" / file.name):
        with _claimed_elsewhere(path) as printed:
            assert printed == "claimed\n"
    claim.release()


def test_mount_of_the_whole_folder_is_the_same_path(file: Path, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    target.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(file, home / "journal.db")
    if subprocess.run(["mount", "--bind", home, target], capture_output=True, check=False).returncode:
        pytest.skip("this user cannot mount a folder at another path")
    try:
        claim = claim_path(home / "journal.db")
        with _claimed_elsewhere(target / "journal.db") as printed:
            assert printed == "claimed\n"
        claim.release()
    finally:
        subprocess.run(["umount", "--lazy", target], check=True)


@pytest.mark.parametrize("is_same_folder", [True, False])
def test_F67_hard_link_of_the_journal_is_refused_and_named(file: Path, tmp_path: Path, is_same_folder: bool) -> None:
    other = (file.parent if is_same_folder else tmp_path / "far") / "second.db"
    other.parent.mkdir(exist_ok=True)
    other.hardlink_to(file)
    for path, named in ((file, other), (other, file)):
        with pytest.raises(JournalHasTwoPaths, match="2 names") as caught:
            claim_path(path)
        assert str(path) in str(caught.value)
        assert (str(named) in str(caught.value)) is is_same_folder
        assert is_same_folder or "find -samefile" in str(caught.value)
    other.unlink()
    claim_path(file).release()


def test_claim_ends_with_its_process(file: Path, tmp_path: Path) -> None:
    with _bind_mount(file, tmp_path / "other") as target:
        with _process(target) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "claimed\n"
            process.kill()
        claim_path(file).release()


def test_F67_race_of_two_paths_never_grants_both(file: Path, tmp_path: Path) -> None:
    with _bind_mount(file, tmp_path / "other") as target:
        for _ in range(3):
            racers = [_process(path, "wait") for path in (file, target)]
            for each in racers:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            printed = [each.stdout.readline() for each in racers if each.stdout is not None]
            assert printed.count("claimed\n") <= 1, printed
            for each in racers:
                each.communicate("\n")


def test_release_does_not_remove_the_locks_of_sqlite(file: Path, sqlite_journal: sa.Engine) -> None:
    """Closing a descriptor of the file would drop SQLite's locks, and another process could start a transaction."""
    with sqlite_journal.connect() as connection, connection.begin():
        connection.exec_driver_sql("SELECT count(*) FROM audit_log").scalar_one()
        held = Path("/proc/locks").read_text().count(f":{file.stat().st_ino} ")
        claim_path(file).release()
        assert Path("/proc/locks").read_text().count(f":{file.stat().st_ino} ") == held


def test_descriptors_of_released_claims_are_closed_when_sqlite_is_done(file: Path, sqlite_journal: sa.Engine) -> None:
    def opened() -> int:
        links = list(Path("/proc/self/fd").iterdir())
        return sum(link.exists() and link.samefile(file) for link in links)

    claims: list[PathClaim] = [claim_path(file) for _ in range(3)]
    for claim in claims:
        claim.release()
    sqlite_journal.dispose()
    claim_path(file).release()
    assert opened() == 0


def test_journal_claims_its_path_until_it_releases_it(file: Path, sqlite_journal: sa.Engine, tmp_path: Path) -> None:
    journal = Journal(sqlite_journal, "sandbox")
    journal.release_path()
    journal.claim_path()
    with _bind_mount(file, tmp_path / "other") as target:
        with pytest.raises(JournalHasTwoPaths):
            claim_path(target)
        journal.release_path()
        claim_path(target).release()


def test_journal_on_postgres_needs_no_claim(postgres_journal_url: str) -> None:
    engine = open_journal(postgres_journal_url)
    journal = order_steps(engine).journal
    journal.claim_path()
    journal.release_path()
    engine.dispose()

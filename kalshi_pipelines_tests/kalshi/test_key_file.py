"""Tests of the permissions of key files: who else can read or change one."""

import os
import stat
from pathlib import Path

import pytest

from kalshi_pipelines.kalshi.key_file import exposure_of

ME, ROOT, SOMEBODY, GROUP = 1_000, 0, 2_000, 3_000


def file_of(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int, owner: int, user: int = ME, group: int = GROUP
) -> Path:
    """Return a key file that seems to have an owner and a group, looked at by a process of ``user``."""
    file = folder / "key.pem"
    file.write_text("key")
    file.chmod(mode)
    real_stat = Path.stat

    def seen(self: Path, **kwargs: bool) -> os.stat_result:
        status = real_stat(self, **kwargs)
        if self.name != "key.pem":
            return status
        return os.stat_result((status.st_mode, 0, 0, 0, owner, group, 0, 0, 0, 0))

    monkeypatch.setattr(Path, "stat", seen)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    return file


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
@pytest.mark.parametrize(("owner", "user"), [(ME, ME), (ROOT, ROOT), (ROOT, ME)])
def test_file_of_its_owner_only_is_not_exposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, user: int
) -> None:
    assert exposure_of(file_of(tmp_path, monkeypatch, mode=mode, owner=owner, user=user)) is None


@pytest.mark.parametrize(
    ("mode", "how"),
    [
        (0o604, "can be read by every user"),
        (0o602, "can be changed by every user"),
        (0o601, "can be run by every user"),
        (0o666, "can be read and changed by every user"),
        (0o644, "can be read by every user"),
        (0o640, "can be read by group"),
        (0o620, "can be changed by group"),
        (0o660, "can be read and changed by group"),
    ],
)
def test_F80_file_that_others_can_read_or_change_is_exposed(tmp_path: Path, mode: int, how: str) -> None:
    file = tmp_path / "key.pem"
    file.write_text("key")
    os.chown(file, os.geteuid(), os.getegid() or GROUP)
    file.chmod(mode)
    exposure = exposure_of(file)
    assert exposure is not None
    assert exposure.how.startswith(how)
    assert f"(mode {mode:04o})" in exposure.how
    assert exposure.remedy == f"Run: chmod 600 {file}"
    file.chmod(0o600)
    assert exposure_of(file) is None


@pytest.mark.parametrize(
    ("mode", "owner", "user", "group", "is_exposed"),
    [
        (0o440, ROOT, ME, GROUP, False),
        (0o640, ROOT, ME, GROUP, False),
        (0o440, ROOT, ROOT, ROOT, False),
        (0o440, ROOT, ROOT, GROUP, True),
        (0o460, ROOT, ME, GROUP, True),
        (0o444, ROOT, ME, GROUP, True),
        (0o440, ME, ME, GROUP, True),
        (0o400, SOMEBODY, ME, GROUP, True),
        (0o400, SOMEBODY, ROOT, GROUP, True),
    ],
)
def test_group_may_only_read_a_file_that_root_hands_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, user: int, group: int, is_exposed: bool
) -> None:
    file = file_of(tmp_path, monkeypatch, mode=mode, owner=owner, user=user, group=group)
    assert (exposure_of(file) is not None) is is_exposed


def test_F80_file_in_a_folder_that_everyone_can_write_to_is_exposed(tmp_path: Path) -> None:
    folder = tmp_path / "open" / "inner"
    folder.mkdir(parents=True)
    (folder / "key.pem").write_text("key")
    (folder / "key.pem").chmod(0o600)
    link = tmp_path / "link.pem"
    link.symlink_to(folder / "key.pem")
    for mode, is_exposed in ((0o777, True), (0o777 | stat.S_ISVTX, False), (0o775, False), (0o700, False)):
        folder.parent.chmod(mode)
        for path in (folder / "key.pem", link):
            exposure = exposure_of(path)
            assert (exposure is not None) is is_exposed, oct(mode)
            assert exposure is None or str(folder.parent) in exposure.how


def test_file_that_is_missing_raises_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"absent\.pem"):
        exposure_of(tmp_path / "absent.pem")

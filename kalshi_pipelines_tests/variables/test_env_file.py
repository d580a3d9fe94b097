"""A ``.env`` file sets what the process environment lacks; a file that says two things is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kalshi_pipelines.alerts import __main__ as alerts
from kalshi_pipelines.contracts import __main__ as contracts
from kalshi_pipelines.execution.kill.sources import EnvironmentSource
from kalshi_pipelines.news import __main__ as news
from kalshi_pipelines.settings import InvalidSettings, take_env_file
from kalshi_pipelines.variables.env_file import env_files, read_env_file


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("KALSHI_TRADE_MODE=live\n\nKALSHI_TRADE_MODE=live\n", "Lines 1 and 3 of FILE both set KALSHI_TRADE_MODE."),
        ("KALSHI_TRADE_MODE=live\nkalshi_trade_mode=dry_run\n", "Lines 1 and 2 of FILE both set KALSHI_TRADE_MODE."),
        ("export EXA_API_KEY=a\nEXA_API_KEY=b\n", "Lines 1 and 2 of FILE both set EXA_API_KEY."),
        ("A=1\nKALSHI TRADE_KILL=1=2 'x\n", "Line 2 of FILE cannot be read."),
        ("KALSHI_TRADE_MODE=live\u00a0\n", "The value of KALSHI_TRADE_MODE in line 1 of FILE begins or ends"),
    ],
)
def test_F79_env_file_that_is_ambiguous_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, problem: str
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    file = tmp_path / ".env"
    file.write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        take_env_file(file)
    assert problem.replace("FILE", str(file)) in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "A=1\nA=2\nKALSHI_TRADE_MODE = live # a comment\n",
        "export KALSHI_TRADE_MODE='live'\r\nnot a line at all'\r\n",
        'KALSHI_TRADE_MODE="live"\nKALSHI_TRADE_SERIES\n',
    ],
)
def test_env_file_that_says_one_thing_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
    monkeypatch.setattr(os, "environ", {})
    (tmp_path / ".env").write_text(text)
    take_env_file(tmp_path / ".env")
    assert os.environ["KALSHI_TRADE_MODE"] == "live"


@pytest.mark.parametrize(("shell", "in_file"), [("0", "1"), ("1", "0"), ("", "stop"), (None, "1"), ("yes", None)])
def test_kill_in_either_place_engages(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str | None, in_file: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", {} if shell is None else {"KALSHI_TRADE_KILL": shell})
    if in_file is not None:
        (tmp_path / ".env").write_text(f"kalshi_trade_kill={in_file}\n")
    assert EnvironmentSource().read().engaged
    take_env_file()
    assert EnvironmentSource().read().engaged


def test_kill_written_into_the_env_file_later_engages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / ".env"
    for text, engaged in [("KALSHI_TRADE_KILL=0\n", False), ("KALSHI_TRADE_KILL=now\n", True), ("#\n", False)]:
        file.write_text(text)
        assert EnvironmentSource().read().engaged is engaged
    file.write_bytes(b"\xff")
    assert EnvironmentSource().read().why == "the file .env cannot be read (UnicodeDecodeError)"
    assert EnvironmentSource().read().engaged


def test_env_files_of_a_project_s_locations_are_read_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAGSTER_PROJECT_ENV_FILE_PATHS", json.dumps({"one": str(tmp_path / "one"), "two": "."}))
    assert env_files() == (Path(".env"), tmp_path / "one" / ".env")
    monkeypatch.setenv("DAGSTER_PROJECT_ENV_FILE_PATHS", "[")
    assert env_files() == (Path(".env"),)
    assert read_env_file(tmp_path / "one" / ".env") is None


@pytest.mark.parametrize("main", [alerts, contracts, news])
def test_every_command_line_reads_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], main: Any
) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("KALSHI_ENVIRONMENT=nowhere\n")
    assert (
        main.main({"alerts": ["list"], "contracts": ["findings"], "news": ["tracked"]}[main.__name__.split(".")[1]])
        == 2
    )
    assert "KALSHI_ENVIRONMENT is 'nowhere'" in capsys.readouterr().err

"""Tests of docs/upgrading.md: every command and SQL statement is run in the order of the page."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.inspection import Content, inspect_file
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database

PAGE = (CHECKOUT / "docs" / "upgrading.md").read_text()
EXAMPLE_URL = "postgresql+psycopg://user:password@host/kalshi"


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    return [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]


class Shell:
    """A shell that runs all commands of a page, so that a variable exported by one command exists in the next."""

    def __init__(self, folder: Path) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment | {"PYTHONWARNINGS": "ignore"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command in the shell, and return its exit code and output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{command} < /dev/null\necho __ended__ $?\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith("__ended__"):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError("the shell ended: " + "".join(said))

    def close(self) -> None:
        """End the shell."""
        self._process.communicate("exit\n", timeout=10)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.close()


def test_every_command_of_the_upgrading_page_works_in_order(
    shell: Shell, tmp_path: Path, empty_postgres_url: str
) -> None:
    research = make_legacy_database(tmp_path / "research.db")
    other = make_legacy_database(tmp_path / "old.db", "43e7135752b1")
    trades, _, refused = other.counts()["trades"]
    for name in ("pyproject.toml", "migrations"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    old = (tmp_path / "old.db").read_bytes()
    said = {}
    for command in commands():
        code, output = shell.run(command.replace(EXAMPLE_URL, empty_postgres_url))
        assert code == 0, f"{command}\n{output}"
        said[command] = output
    assert "nothing is changed" in said["dagster job execute -m kalshi_pipelines -j migrate_dry_run"]
    assert (tmp_path / "old.db").read_bytes() == old
    assert (tmp_path / "data" / "sandbox" / "migrate-dry-run.csv").is_file()
    assert "CREATE TABLE trades" in (tmp_path / "upgrade.sql").read_text()
    for url in (f"sqlite:///{tmp_path / 'warehouse.db'}", empty_postgres_url):
        engine = open_engine(url)
        with engine.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM trades")) == trades - refused
        engine.dispose()
    assert inspect_file(research.path).content is Content.LEGACY  # the page ends with restoring the backup


def test_every_sql_statement_of_the_upgrading_page_works(engine: sa.Engine) -> None:
    statements = [statement for block in blocks("sql") for statement in block.split(";") if statement.strip()]
    assert len(statements) == 4
    with engine.connect() as connection:
        for statement in statements:
            if "PRAGMA" not in statement or engine.dialect.name == "sqlite":
                connection.execute(sa.text(statement))

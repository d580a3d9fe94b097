"""Tests of docs/upgrading.md: every command and SQL statement is run in the order of the page."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines.warehouse.inspection import Content, inspect_file
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.end_to_end.shell import Shell, blocks, page_commands
from kalshi_pipelines_tests.support.warehouse.legacy import make_legacy_database

PAGE = (CHECKOUT / "docs" / "upgrading.md").read_text()
EXAMPLE_URL = "postgresql+psycopg://user:password@host/kalshi"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    # A checkout that was installed before the command existed has no such program.
    shell.run('kalshi-pipelines() { python -m kalshi_pipelines.cli "$@"; }')
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
    for command in [each.text for each in page_commands(PAGE)]:
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
    statements = [statement for block in blocks(PAGE, "sql") for statement in block.split(";") if statement.strip()]
    assert len(statements) == 4
    with engine.connect() as connection:
        for statement in statements:
            if "PRAGMA" not in statement or engine.dialect.name == "sqlite":
                connection.execute(sa.text(statement))

"""Every snippet and every command of docs/storage.md runs, in the order of the page, on data of a sandbox."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pyarrow import fs

from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.end_to_end.running import run_as_command
from kalshi_pipelines_tests.support.end_to_end.shell import Shell, blocks, page_commands
from kalshi_pipelines_tests.support.lake.object_server import running_object_server

PAGE = (CHECKOUT / "docs" / "storage.md").read_text()
S3_USER = {"access_key": "someone", "secret_key": "secret"}
EXAMPLE_URL = "postgresql+psycopg://user:password@host/kalshi"
SNIPPETS = blocks(PAGE, "python")


@pytest.fixture(scope="module")
def sandbox_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the job `snapshot` ran once on a small sandbox."""
    folder = tmp_path_factory.mktemp("storage")
    done = run_as_command(folder, "snapshot", {"KALSHI_SANDBOX_MARKETS": "60"})
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(sandbox_data: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, which a test may change."""
    folder = tmp_path / "copy"
    shutil.copytree(sandbox_data, folder)
    return folder


@pytest.fixture
def shell(folder: Path) -> Iterator[Shell]:
    """Return a shell in the copied folder."""
    shell = Shell(folder)
    # A checkout that was installed before the command existed has no such program.
    shell.run('kalshi-pipelines() { python -m kalshi_pipelines.cli "$@"; }')
    yield shell
    shell.close()


def commands_of_the_object_store() -> list[str]:
    (block,) = [block for block in blocks(PAGE, "console") if "KALSHI_LAKE_URL" in block]
    return [part.strip() for part in block.split("$ ")[1:]]


def count_markets(url: str) -> int:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.scalar(sa.text("SELECT count(*) FROM markets")) or 0
    engine.dispose()
    return int(found)


@pytest.mark.parametrize("number", range(len(SNIPPETS)))
def test_snippet_of_the_page_runs_and_prints_rows(sandbox_data: Path, number: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SNIPPETS[number]],
        cwd=sandbox_data,
        env={name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"[1-9]", done.stdout)


def test_every_command_of_the_page_works_in_order(shell: Shell, folder: Path, empty_postgres_url: str) -> None:
    commands = [each.text for each in page_commands(PAGE)]
    of_the_store = commands_of_the_object_store()
    for command in commands:
        if command in of_the_store:
            continue
        code, output = shell.run(command.replace(EXAMPLE_URL, empty_postgres_url))
        assert code == 0, f"{command}\n{output}"
    assert count_markets(empty_postgres_url) == count_markets(f"sqlite:///{folder}/data/sandbox/warehouse.db") > 0


def test_commands_of_the_object_store_put_the_lake_there(shell: Shell, folder: Path) -> None:
    shutil.rmtree(folder / "data")
    with running_object_server() as address:
        fs.S3FileSystem(**S3_USER, endpoint_override=address, allow_bucket_creation=True).create_dir("my-bucket")
        export, credentials, listing = commands_of_the_object_store()
        place = f"?region=us-east-1&scheme=http&endpoint_override={address.removeprefix('http://')}"
        shell.run(export.replace("?region=us-east-1", place))
        shell.run(credentials.replace("KEY_ID=...", f"KEY_ID={S3_USER['access_key']}").replace("=...", "=secret"))
        job = "KALSHI_SANDBOX_MARKETS=60 dagster job execute -m kalshi_pipelines -j snapshot"
        code, output = shell.run(job)
        assert code == 0, output
        code, output = shell.run(listing)
        assert code == 0, output
        assert re.search(r"[1-9] files in s3://my-bucket/kalshi", output)
        snippet = SNIPPETS[0].replace('open_data("data/sandbox")', "open_data()")
        code, output = shell.run(f"python - <<'END'\n{snippet}\nEND")
        assert re.search(r"^[1-9]\d* [1-9]\d* \[", output, re.MULTILINE), output
        assert S3_USER["secret_key"] not in output
    assert not (folder / "data" / "sandbox" / "lake").exists()

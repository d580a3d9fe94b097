"""``copy`` and ``reopen`` as commands: what they print, their exit statuses, and that no password is shown."""

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse import tables
from kalshi_pipelines.warehouse.engine import open_engine, writing
from kalshi_pipelines_tests.support.warehouse.command_line import kalshi_pipelines
from kalshi_pipelines_tests.support.warehouse.rows import RUN, fill

PASSWORD = "correct-horse"  # noqa: S105


@pytest.fixture
def warehouse(migrated_file: Path, tmp_path: Path) -> Path:
    """Return the file of a warehouse with a row in every table, in the folder in which commands look for it."""
    path = tmp_path / "data" / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    shutil.copy(migrated_file, path)
    engine = open_engine(f"sqlite:///{path}")
    fill(engine)
    engine.dispose()
    return path


def add_a_run(url: str) -> None:
    engine = open_engine(url)
    try:
        with writing(engine) as connection:
            connection.execute(sa.insert(tables.ingest_runs), RUN)
    finally:
        engine.dispose()


def test_copy_prints_every_table_and_no_password(warehouse: Path, tmp_path: Path, empty_postgres_url: str) -> None:
    url = empty_postgres_url.replace("postgres@", f"postgres:{PASSWORD}@")
    done = kalshi_pipelines(tmp_path, "copy", KALSHI_COPY_TO=url)
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    assert all(f"\n{name} " in done.stdout for name in tables.metadata.tables)
    assert "The journal of orders was not copied." in done.stdout
    job = kalshi_pipelines(tmp_path, "backup", KALSHI_WAREHOUSE_URL=empty_postgres_url)
    assert job.returncode == 0, job.stderr
    with pytest.raises(sa.exc.IntegrityError, match="is retired"):
        add_a_run(f"sqlite:///{warehouse}")


def test_reopen_retires_the_copy_and_gives_up_newer_rows_only_on_request(warehouse: Path, tmp_path: Path) -> None:
    ours, copy = f"sqlite:///{warehouse}", f"sqlite:///{tmp_path}/copy.db"
    assert kalshi_pipelines(tmp_path, "copy", "--to", copy).returncode == 0
    add_a_run(copy)
    refused = kalshi_pipelines(tmp_path, "reopen", "--copy", copy)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"{tmp_path}/copy.db has other rows in ingest_runs, because it was used")
    add_a_run(copy)
    done = kalshi_pipelines(tmp_path, "reopen", "--copy", copy, "--give-up-newer-rows")
    assert done.returncode == 0, done.stderr
    assert "The copy keeps rows that this warehouse does not have, in ingest_runs." in done.stdout
    add_a_run(ours)
    with pytest.raises(sa.exc.IntegrityError, match="takes writes again since"):
        add_a_run(copy)


def test_reopen_of_a_copy_that_is_gone_needs_these_words(warehouse: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    assert kalshi_pipelines(tmp_path, "copy", "--to", f"sqlite:///{copy}").returncode == 0
    copy.unlink()
    refused = kalshi_pipelines(tmp_path, "reopen")
    assert (refused.returncode, refused.stderr.splitlines()[0].split(".")[0]) == (
        2,
        "Name the copy, so that it can be retired",
    )
    another = kalshi_pipelines(tmp_path, "reopen", "--copy", f"sqlite:///{tmp_path}/another.db")
    assert another.returncode == 2
    assert "another.db is not the copy of this warehouse" in another.stderr
    assert kalshi_pipelines(tmp_path, "reopen", "--copy-is-gone").returncode == 0
    add_a_run(f"sqlite:///{warehouse}")


@pytest.mark.parametrize(
    ("arguments", "variables", "sentence"),
    [
        ((), {}, "No database to copy to is named. Set KALSHI_COPY_TO, or add --to URL."),
        (("--to", f"postgresql://ann:{PASSWORD}@host/kalshi"), {}, "A password on a command line is visible"),
        (("--to", "mysql://host/kalshi"), {}, "The URL names the driver 'mysql', which is not supported."),
        ((), {"KALSHI_COPY_TO": "nonsense"}, "KALSHI_COPY_TO is not a database URL."),
        (
            (),
            {"KALSHI_COPY_TO": f"postgresql+psycopg://ann:{PASSWORD}@127.0.0.1:1/kalshi"},
            "The warehouse postgresql://127.0.0.1:1/kalshi cannot be used (connection failed",
        ),
    ],
)
def test_target_that_cannot_be_used_is_refused_in_one_line(
    warehouse: Path, tmp_path: Path, arguments: tuple[str, ...], variables: dict[str, str], sentence: str
) -> None:
    done = kalshi_pipelines(tmp_path, "copy", *arguments, **variables)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
    assert PASSWORD not in done.stderr
    add_a_run(f"sqlite:///{warehouse}")

"""Migrations run once, leave nothing after a failure, and refuse unusable databases and URLs."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from kalshi_pipelines.warehouse.engine import WarehouseUnavailable, open_engine
from kalshi_pipelines.warehouse.migrations import (
    SchemaNotAtHead,
    current_revision,
    require_head,
    wanted_revision,
)
from kalshi_pipelines_tests.support.migrated import upgrade_to_head

UPGRADE = """
import sys
from kalshi_pipelines.warehouse.engine import open_engine
from kalshi_pipelines_tests.support.migrated import upgrade_to_head
print(len(upgrade_to_head(open_engine(sys.argv[1])).applied))
"""


def test_second_upgrade_applies_nothing(engine: sa.Engine) -> None:
    assert upgrade_to_head(engine).applied == ()


def test_empty_database_is_not_at_head_and_the_error_names_the_command(tmp_path: Path) -> None:
    empty = open_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    with pytest.raises(SchemaNotAtHead, match="dagster job execute -m kalshi_pipelines -j migrate"):
        require_head(empty)
    assert upgrade_to_head(empty).after == wanted_revision()
    require_head(empty)
    empty.dispose()


def test_concurrent_upgrades_apply_the_migrations_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'warehouse.db'}"

    def upgrade(_number: int) -> int:
        finished = subprocess.run(
            [sys.executable, "-c", UPGRADE, url], capture_output=True, text=True, check=True, timeout=120
        )
        return int(finished.stdout)

    with ThreadPoolExecutor() as pool:
        applied = list(pool.map(upgrade, range(3)))
    assert sorted(applied)[:2] == [0, 0]
    assert max(applied) > 0


def test_failed_migration_leaves_the_database_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_engine(f"sqlite:///{tmp_path / 'warehouse.db'}")
    monkeypatch.setattr(
        "kalshi_pipelines.warehouse.migrations._refuse_dangling_references",
        lambda connection: (_ for _ in ()).throw(SchemaNotAtHead("stop")),
    )
    with pytest.raises(SchemaNotAtHead):
        upgrade_to_head(engine)
    assert current_revision(engine) is None
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_foreign_keys_are_enforced_on_every_connection(sqlite_engine: sa.Engine) -> None:
    upgrade_to_head(sqlite_engine)
    with sqlite_engine.connect() as first, sqlite_engine.connect() as second:
        assert [c.exec_driver_sql("PRAGMA foreign_keys").scalar() for c in (first, second)] == [1, 1]


@pytest.mark.parametrize("content", [b"this is no database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_damaged_file_is_refused_on_one_line_and_unchanged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "warehouse.db"
    path.write_bytes(content)
    engine = open_engine(f"sqlite:///{path}")
    with pytest.raises(WarehouseUnavailable, match="damaged or not a database"):
        upgrade_to_head(engine)
    assert path.read_bytes() == content
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("not a url", "not a database URL"),
        ("mysql://localhost/x", "Use sqlite or postgresql"),
        ("sqlite://", "lost when the process ends"),
    ],
)
def test_unusable_url_is_refused(url: str, sentence: str) -> None:
    with pytest.raises(WarehouseUnavailable, match=sentence):
        open_engine(url)


def test_folder_that_cannot_be_made_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WarehouseUnavailable, match="KALSHI_DATA_DIR"):
        open_engine(f"sqlite:///{tmp_path / 'file' / 'data' / 'warehouse.db'}")

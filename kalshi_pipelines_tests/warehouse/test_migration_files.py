"""Rules for migration files: order, titles, downgrades, clean-ups before tighter constraints, and the template."""

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import Script, ScriptDirectory

from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.warehouse.revisions import PYPROJECT, REVISIONS, SCRIPTS, Database, open_database
from kalshi_pipelines_tests.support.warehouse.schema import Schema, only

FILES = [SCRIPTS.get_revision(revision) for revision in REVISIONS]
#: The first migration that needs a clean-up. Earlier migrations only create tables or loosen constraints.
FIRST_WITH_THE_RULE = "0006"
NEXT = f"{int(REVISIONS[-1]) + 1:04}"

HEADER = f'''"""A migration for a test."""

import sqlalchemy as sa
from alembic import op

from kalshi_pipelines.warehouse.migration_steps import changed_table
from kalshi_pipelines.warehouse.tables.columns import Integer

revision = "{NEXT}"
down_revision = "{REVISIONS[-1]}"


def downgrade() -> None:
    pass
'''


@pytest.fixture
def database(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    with open_database(empty_database_url, monkeypatch) as database:
        yield database


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    """Return a copy of the migrations folder to which a test may add files."""
    return shutil.copytree(CHECKOUT / "migrations", tmp_path / "migrations")


def config_of(migrations: Path) -> Config:
    config = Config(toml_file=PYPROJECT)
    config.set_main_option("script_location", str(migrations))
    return config


def function(source: str, name: str) -> ast.FunctionDef | None:
    return next(
        (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name), None
    )


def source_of(script: Script) -> str:
    return Path(script.path).read_text()


# All migration files ------------------------------------------------------------------------------------------------


def test_migrations_have_one_head() -> None:
    assert SCRIPTS.get_heads() == [REVISIONS[-1]]


def test_revisions_are_numbered_in_their_order() -> None:
    assert [f"{number:04}" for number in range(1, len(FILES) + 1)] == REVISIONS
    assert [script.down_revision for script in FILES] == [None, *REVISIONS[:-1]]
    assert all(Path(script.path).name.startswith(f"{script.revision}_") for script in FILES)


@pytest.mark.parametrize("script", FILES, ids=lambda script: str(script.revision))
def test_migration_has_a_title_and_a_downgrade(script: Script) -> None:
    assert script.doc.strip().endswith(".")
    assert function(source_of(script), "upgrade")
    downgrade = function(source_of(script), "downgrade")
    assert downgrade
    assert any(not isinstance(step, ast.Pass) for step in downgrade.body)


@pytest.mark.parametrize("script", FILES, ids=lambda script: str(script.revision))
def test_migration_has_no_unfinished_template_part(script: Script) -> None:
    assert "NotImplementedError" not in source_of(script)


# Constraints that become tighter ------------------------------------------------------------------------------------


def find_tightened(older: Schema, newer: Schema) -> set[str]:
    """Return the new constraints that rows of an existing table could break.

    Every changed CHECK counts, even a CHECK that became looser. For a looser CHECK, the docstring of the migration's
    ``clean_up()`` may state that no row can break it.
    """
    there = {what.split()[1].split(".")[0] for what in only(older, "column")}
    changed = {what: how for what, how in newer.items() if older.get(what) != how}
    found = set(only(changed, "constraint"))
    found |= {what for what, how in only(changed, "index").items() if how.startswith("CREATE UNIQUE")}
    columns = {_column(what): how for what, how in only(older, "column").items()}
    for what, how in only(newer, "column").items():
        before = columns.get(_column(what), "")
        if ("NOT NULL" in how and "NOT NULL" not in before) or (before and _type(before) != _type(how)):
            found.add(what)
    return {what for what in found if what.split()[1].split(".")[0] in there}


def _column(what: str) -> tuple[str, str]:
    _, place, name = what.split()
    return place.split(".")[0], name


def _type(how: str) -> str:
    return how.split(" DEFAULT ", maxsplit=1)[0].replace(" NOT NULL", "")


def cleans_up_first(source: str) -> bool:
    """Return whether `upgrade()` begins with `clean_up()`, and `clean_up()` has a docstring."""
    upgrade, clean_up = function(source, "upgrade"), function(source, "clean_up")
    if upgrade is None or clean_up is None or not ast.get_docstring(clean_up):
        return False
    steps = upgrade.body[1:] if ast.get_docstring(upgrade) else upgrade.body
    return ast.unparse(steps[0]) == "clean_up()"


def find_tightened_without_clean_up(database: Database, older: str, script: Script) -> set[str]:
    database.upgrade(older)
    before = database.schema()
    database.upgrade(script.revision)
    return set() if cleans_up_first(source_of(script)) else find_tightened(before, database.schema())


@pytest.mark.parametrize(
    ("older", "revision"), [step for step in pairwise(REVISIONS) if step[1] >= FIRST_WITH_THE_RULE]
)
def test_migration_that_tightens_a_constraint_cleans_up_first(database: Database, older: str, revision: str) -> None:
    assert find_tightened_without_clean_up(database, older, SCRIPTS.get_revision(revision)) == set()


CLEAN_UP = '''
def clean_up() -> None:
    """Do nothing: no row can break the constraint, because the table is empty."""
'''
TIGHTER = [
    ("table.create_check_constraint(op.f('ck_trades_new'), 'subaccount < 64')", "constraint trades.ck_trades_new"),
    ("table.create_unique_constraint(op.f('uq_trades_new'), ['order_id'])", "constraint trades.uq_trades_new"),
    (
        "table.create_foreign_key(op.f('fk_trades_new'), 'series', ['order_id'], ['ticker'])",
        "constraint trades.fk_trades_new",
    ),
    ("table.alter_column('order_id', existing_type=sa.Text(), nullable=False)", "column trades.2 order_id"),
    (
        "table.alter_column('order_id', type_=Integer, postgresql_using='1')",
        "column trades.2 order_id",
    ),
    ("op.create_index('uq_trades_new', 'trades', ['order_id'], unique=True)", "index trades.uq_trades_new"),
    ("table.add_column(sa.Column('new', sa.Text(), nullable=False, server_default=''))", "column trades.19 new"),
]
LOOSER = [
    "table.drop_constraint(op.f('ck_trades_side'), type_='check')",
    "table.alter_column('fee_microdollars', existing_type=sa.BigInteger(), nullable=True)",
    "table.add_column(sa.Column('new', sa.Text(), nullable=True))",
    "op.create_index('ix_trades_new', 'trades', ['order_id'])",
    "op.create_table('new', sa.Column('new', sa.Text(), primary_key=True, nullable=False))",
]


def add_migration(migrations: Path, source: str) -> Script:
    (migrations / "versions" / f"{NEXT}_new.py").write_text(source)
    return ScriptDirectory(str(migrations)).get_revision(NEXT)


def upgrade_with(step: str, *, clean_up: bool = False) -> str:
    body = f"with changed_table('trades') as table:\n        {step}" if step.startswith("table.") else step
    first = "clean_up()\n    " if clean_up else ""
    return f"{HEADER}\n\ndef upgrade() -> None:\n    {first}{body}\n{CLEAN_UP if clean_up else ''}"


@pytest.mark.parametrize(("step", "what"), TIGHTER)
def test_tighter_constraint_without_a_clean_up_is_found(
    database: Database, migrations: Path, step: str, what: str
) -> None:
    copy = Database(database.engine, config_of(migrations))
    script = add_migration(migrations, upgrade_with(step))
    assert what in find_tightened_without_clean_up(copy, REVISIONS[-1], script)


@pytest.mark.parametrize("step", LOOSER)
def test_looser_constraint_needs_no_clean_up(database: Database, migrations: Path, step: str) -> None:
    copy = Database(database.engine, config_of(migrations))
    script = add_migration(migrations, upgrade_with(step))
    assert find_tightened_without_clean_up(copy, REVISIONS[-1], script) == set()


def test_clean_up_must_come_first_and_explain_itself() -> None:
    good = upgrade_with("op.execute('SELECT 1')", clean_up=True)
    assert cleans_up_first(good)
    assert not cleans_up_first(
        good.replace("    clean_up()\n    op.execute('SELECT 1')", "    op.execute('SELECT 1')\n    clean_up()")
    )
    assert not cleans_up_first(
        good.replace('"""Do nothing: no row can break the constraint, because the table is empty."""', "pass")
    )
    assert not cleans_up_first(good.replace("    clean_up()\n", ""))


# The template for new migrations ------------------------------------------------------------------------------------


def ruff(arguments: list[str], source: str) -> subprocess.CompletedProcess[str]:
    """Run ruff on a text as if it were a migration of the project."""
    name = f"migrations/versions/{NEXT}_new.py"
    return subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, "--stdin-filename", name, "-"],
        input=source,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_migration_template_passes_ruff_and_demands_clean_up_and_downgrade(migrations: Path) -> None:
    made = command.revision(config_of(migrations), message="Add something new", rev_id=NEXT)
    assert isinstance(made, Script)
    source = source_of(made)
    for arguments in (["check"], ["format", "--check"]):
        checked = ruff(arguments, source)
        assert checked.returncode == 0, checked.stdout
    assert made.doc == "Add something new."
    assert made.down_revision == REVISIONS[-1]
    with pytest.raises(NotImplementedError, match="write clean_up"):
        made.module.upgrade()
    with pytest.raises(NotImplementedError, match="refuse_to_lose"):
        made.module.downgrade()


def test_autogenerated_migration_passes_ruff_after_formatting(
    sqlite_engine: sa.Engine, migrations: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite_engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE news_articles DROP COLUMN exa_request_id")
        connection.exec_driver_sql("DROP INDEX ix_trades_executed_us")
    monkeypatch.setenv("KALSHI_WAREHOUSE_URL", sqlite_engine.url.render_as_string(hide_password=False))
    made = command.revision(config_of(migrations), message="Restore missing objects", rev_id=NEXT, autogenerate=True)
    assert isinstance(made, Script)
    formatted = ruff(["format"], source_of(made)).stdout
    assert 'op.add_column("news_articles", sa.Column("exa_request_id", sa.Text(), nullable=True))' in formatted
    assert 'op.create_index("ix_trades_executed_us"' in formatted
    checked = ruff(["check"], formatted)
    assert checked.returncode == 0, checked.stdout
    with pytest.raises(NotImplementedError, match="write clean_up"):
        made.module.upgrade()

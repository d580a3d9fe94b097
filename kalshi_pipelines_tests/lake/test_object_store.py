"""A lake in an object store behaves like a lake in a folder, and no secret of it is ever shown."""

import uuid
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from kalshi_pipelines.lake.address import open_store
from kalshi_pipelines.lake.buffers import PRICES
from kalshi_pipelines.lake.closing import verify_lake
from kalshi_pipelines.lake.datasets import PRICE_HISTORY, PUBLIC_TRADES
from kalshi_pipelines.lake.errors import LakeFileChanged, LakeOfAnotherWarehouse, LakeUnavailable
from kalshi_pipelines.lake.history import publish_history
from kalshi_pipelines.lake.lake import Lake, open_lake
from kalshi_pipelines.lake.manifest import lake_files_of
from kalshi_pipelines.lake.reading import read
from kalshi_pipelines.lake.rebuilding import rebuild_manifest
from kalshi_pipelines.lake.removal import remove_published
from kalshi_pipelines.lake.store import LocalStore
from kalshi_pipelines.settings import InvalidSettings, Settings
from kalshi_pipelines.units import microseconds
from kalshi_pipelines.warehouse.engine import writing
from kalshi_pipelines.warehouse.tables import lake_files, price_snapshots
from kalshi_pipelines_tests.support.lake.lakes import MIDNIGHT_US, add_quotes, count, start_history
from kalshi_pipelines_tests.support.lake.public_trades import TRADES_DAY, trades_batch


def settings(url: str) -> Settings:
    return Settings(lake_url=SecretStr(url))


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """The AWS variables of the local object store."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")


@pytest.fixture
def url(object_server: str, credentials: None) -> str:
    """The URL of an empty lake in a bucket of its own."""
    bucket = f"bucket-{uuid.uuid4().hex}"
    httpx.put(f"{object_server}/{bucket}", trust_env=False).raise_for_status()
    return f"s3://{bucket}/some/lake?endpoint_override={object_server}&region=us-east-1"


@pytest.fixture
def lake(url: str) -> Lake:
    """An empty lake in an object store."""
    return open_lake(settings(url))


def test_rows_are_published_read_and_removed(engine: sa.Engine, lake: Lake) -> None:
    start_history(engine)
    for time in (3, 1, 2):
        add_quotes(engine, [MIDNIGHT_US + time, MIDNIGHT_US - time])
        publish_history(lake, engine, PRICES)
    assert [file.contents.rows for file in lake_files_of(engine)] == [3, 3]
    table = read(lake, engine, PRICE_HISTORY, start_us=MIDNIGHT_US).read_all()
    times = [microseconds(time) - MIDNIGHT_US for time in table.column("observed_time").to_pylist()]
    assert times == [1, 2, 3]
    assert verify_lake(lake, engine).problems == ()
    assert remove_published(lake, engine, PRICES, MIDNIGHT_US + 2) == 4
    assert count(engine, price_snapshots) == 2


def test_replaced_object_is_refused_and_the_manifest_can_be_rebuilt(
    sqlite_engine: sa.Engine, lake: Lake, tmp_path: Path
) -> None:
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(lake, sqlite_engine, PRICES)
    (file,) = lake_files_of(sqlite_engine)
    with lake.store.fetch(file.path) as found:
        assert found is not None
        kept = found.local.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(b"other")
    lake.store.put(other, file.path)
    add_quotes(sqlite_engine, [MIDNIGHT_US + 1])
    with pytest.raises(LakeFileChanged):
        publish_history(lake, sqlite_engine, PRICES)
    with pytest.raises(LakeFileChanged):
        read(lake, sqlite_engine, PRICE_HISTORY).read_all()
    other.write_bytes(kept)
    lake.store.put(other, file.path)
    with writing(sqlite_engine) as connection:
        connection.execute(sa.delete(lake_files))
    assert rebuild_manifest(lake, sqlite_engine).recorded == (file.path,)
    publish_history(lake, sqlite_engine, PRICES)
    assert read(lake, sqlite_engine, PRICE_HISTORY).read_all().num_rows == 2


def test_second_warehouse_is_refused(sqlite_engine: sa.Engine, postgres_engine: sa.Engine, lake: Lake) -> None:
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(lake, sqlite_engine, PRICES)
    start_history(postgres_engine)
    with pytest.raises(LakeOfAnotherWarehouse):
        publish_history(lake, postgres_engine, PRICES)


def test_nothing_is_left_in_the_temporary_folder(
    sqlite_engine: sa.Engine, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(tmp_path.iterdir())
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    publish_history(lake, sqlite_engine, PRICES)
    read(lake, sqlite_engine, PRICE_HISTORY).read_all()
    assert {path.name for path in set(tmp_path.iterdir()) - before if not path.name.startswith("warehouse.db")} == set()


@pytest.mark.parametrize("what", ["bucket", "server"])
def test_store_that_cannot_be_reached_is_one_sentence_without_secrets(
    sqlite_engine: sa.Engine, object_server: str, credentials: None, what: str
) -> None:
    server = object_server if what == "bucket" else "http://127.0.0.1:9"
    lake = open_lake(settings(f"s3://no-such-bucket/lake?endpoint_override={server}&region=us-east-1"))
    start_history(sqlite_engine)
    add_quotes(sqlite_engine, [MIDNIGHT_US])
    with pytest.raises(LakeUnavailable, match="The lake s3://no-such-bucket/lake cannot be used") as error:
        publish_history(lake, sqlite_engine, PRICES)
    text = str(error.value)
    assert len(text.splitlines()) == 1
    assert "of-the-test" not in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("s3://name:hunter2@bucket/lake", "contains a user or a password"),
        ("s3://hunter2@bucket/lake", "contains a user or a password"),
        ("s3://bucket/lake?secret_key=hunter2", "unknown option secret_key"),
        ("s3://bucket/lake?endpoint_override=http://a:hunter2@host", "contains a user or a password"),
        ("s3:///lake", "names no bucket"),
        ("gs://hunter2/lake", "begins with neither file: nor s3:"),
        ("hunter2", "begins with neither file: nor s3:"),
        ("file:///hunter2%00/lake", "contains %00"),
        ("file:hunter2", "without a full path"),
        ("file://host/lake?x=hunter2", "without a full path"),
        ("s3://bucket/lake#hunter2", "contains the character #"),
        ("s3://[hunter2", "is not an address"),
    ],
)
def test_unusable_url_is_refused_without_showing_it(text: str, problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem) as error:
        open_store(settings(text))
    assert "hunter2" not in str(error.value)
    assert "hunter2" not in repr(settings(text))


def test_folder_and_url_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="are both set"):
        open_store(Settings(lake_url=SecretStr(tmp_path.as_uri()), lake_dir=tmp_path))


def test_file_url_names_a_folder(tmp_path: Path) -> None:
    store = open_store(settings((tmp_path / "a b").as_uri()))
    assert isinstance(store, LocalStore)
    assert store.place == str(tmp_path / "a b")


def test_day_is_replaced_and_emptied(sqlite_engine: sa.Engine, lake: Lake) -> None:
    trades = [("A", 1, 1), ("B", 2, 2)]
    for offered, kept in ((trades, 0), (trades[1:], 1), ([], 1)):
        done = lake.replace_day(sqlite_engine, PUBLIC_TRADES, TRADES_DAY, [[trades_batch(offered)]], "backfill")
        assert len(done.superseded) == kept
        found = read(lake, sqlite_engine, PUBLIC_TRADES).read_all()
        assert found.to_pylist() == trades_batch(offered).to_pylist()
    assert len(lake.store.paths("superseded")) == 2

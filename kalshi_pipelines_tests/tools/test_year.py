"""A few days of the simulated year. ``make year`` runs all 365, and ``docs/storage.md`` shows its figures."""

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from kalshi_pipelines_tests.tools.year.figures import broken_bars, real_size
from kalshi_pipelines_tests.tools.year.judge import judge
from kalshi_pipelines_tests.tools.year.sizes import bytes_counted_once

DAYS = 4


def test_some_days_with_kills_lose_and_double_no_row(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.year", "--folder", str(tmp_path), "--no-dagster"]
    command += ["--days", str(DAYS), "--turnover", "120", "--kills", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    figures = json.loads((tmp_path / "result.json").read_text())
    assert figures["days"] == DAYS
    assert figures["kills"] >= 2
    assert figures["verdict"]["wrong"] == {}
    compared = figures["verdict"]["compared"]
    assert min(compared["quotes stored"], compared["books stored"], compared["settlements shown"]) > 100

    # The judge must notice a row that is missing, one too many, and one that is wrong.
    warehouse = tmp_path / "data" / "sandbox" / "warehouse.db"
    truth = sqlite3.connect(tmp_path / "truth.db")
    for table in ("quotes", "books"):
        # Nobody kills the first job, so that each row of the first look is stored.
        one = f"SELECT min(ticker) FROM {table} WHERE look = 1 AND complete"
        truth.execute(f"UPDATE {table} SET text = '1,2,3,4,5,6,7,8,9' WHERE look = 1 AND ticker = ({one})")
    truth.execute("UPDATE settlements SET value = 1 WHERE rowid = 1")
    truth.commit()
    truth.close()
    assert warehouse.exists()
    assert set(judge(tmp_path).wrong) == {
        "quotes: stored what was not shown",
        "quotes: lost",
        "books: stored what was not shown",
        "books: lost",
        "settlements: differ",
    }


def test_bars_of_a_year_name_each_figure_beyond_them() -> None:
    figures = {
        "growth_a_month": {"60 to 90": 0.001, "90 to 120": 0.05},
        "nightly_ratios": {"seconds": 1.1, "requests": 1.3},
        "most_files_beyond_days": 49,
        "verdict": {"wrong": {"quotes: lost": 2}},
        "failures": {"maintain: LakeBusy": 1},
        "extrapolation": {"warehouse_gb": 3.1, "lake_gb_a_year": 61},
    }
    assert len(broken_bars(figures)) == 7


def test_size_of_the_real_exchange_counts_tables_of_days_and_articles_once(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "warehouse.db") as warehouse:
        for table in ("markets", "lake_files", "news_articles"):
            warehouse.execute(f"CREATE TABLE {table} (name TEXT UNIQUE, text TEXT)")
            warehouse.execute(f"INSERT INTO {table} VALUES ('one', zeroblob(100000))")
        once = bytes_counted_once(warehouse)
        (size,) = warehouse.execute("SELECT sum(pgsize) FROM dbstat").fetchone()
        of = "SELECT sum(pgsize) FROM dbstat WHERE name IN ('markets', 'sqlite_autoindex_markets_1')"
        (markets,) = warehouse.execute(of).fetchone()
    warehouse.close()
    assert once == size - markets > 200_000
    assert real_size(size, once) == markets * 100 + once


def test_interrupted_year_continues_where_it_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kalshi_pipelines_tests.tools.year", "--folder", str(tmp_path), "--no-dagster"]
    command += ["--days", "2", "--turnover", "60", "--kills", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as year:
        # The third step of the first day is a snapshot, after which quotes have moved.
        while not (state := tmp_path / "state.json").exists() or json.loads(state.read_text())["step"] < 3:
            assert year.poll() is None
            time.sleep(0.05)
        year.kill()
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    figures = json.loads((tmp_path / "result.json").read_text())
    assert (figures["days"], figures["verdict"]["wrong"], figures["findings"]) == (2, {}, [])

"""Merging rows into a large file takes no more memory than merging them into a small file."""

import subprocess
import sys
from pathlib import Path


def merge_into(folder: Path, tickers: int) -> tuple[int, ...]:
    folder.mkdir()
    command = [sys.executable, "-m", "kalshi_pipelines_tests.support.lake.memory_program", str(folder), str(tickers)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return tuple(map(int, finished.stdout.split()))


def test_memory_of_a_merge_does_not_grow_with_the_file(tmp_path: Path) -> None:
    small_rows, _, small_peak = merge_into(tmp_path / "small", 6_000)
    large_rows, large_bytes, large_peak = merge_into(tmp_path / "large", 24_000)
    assert (small_rows, large_rows) == (600_600, 2_402_400)
    assert large_bytes > 10_000_000
    # The peak was 327 MB with 600,000 rows in 14 MB, and 366 MB with 6,000,000 rows in 135 MB.
    assert large_peak <= 1.15 * small_peak

"""The Postgres server of the tests leaves no files behind, and its error names what is missing."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kalshi_pipelines_tests.support import postgres
from kalshi_pipelines_tests.support.postgres import NoPostgres, remove_leftovers, running_cluster

START = """
from kalshi_pipelines_tests.support.postgres import running_cluster
with running_cluster() as cluster:
    print(cluster.url("postgres"), flush=True)
    input()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent is gone")
def test_killed_test_process_leaves_no_server_and_no_files_after_the_next_start() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        socket = Path(process.stdout.readline().strip().partition("host=")[2])
        (server,) = psutil.Process(process.pid).children()
        folders = [socket, Path(server.cmdline()[2])]
        for folder in folders:
            remove_leftovers(folder.parent)
            os.utime(folder, (0, 0))
            remove_leftovers(folder.parent)
            assert folder.is_dir(), "the server was still using it"
        os.kill(process.pid, signal.SIGKILL)
    server.wait(30)
    for folder in folders:
        os.utime(folder, (0, 0))
        remove_leftovers(folder.parent)
        assert not folder.exists()


def test_missing_binaries_are_an_error_that_lists_the_searched_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_CHOSEN_BINARIES", str(tmp_path))
    with pytest.raises(NoPostgres, match=f"{tmp_path}: no initdb there"), running_cluster():
        pass

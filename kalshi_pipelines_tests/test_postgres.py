"""The Postgres of the tests leaves nothing behind, and says what is missing where it can not be."""

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
def test_a_server_ends_with_its_test_process_and_leaves_nothing_that_the_next_does_not_clear_up() -> None:
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


def test_without_binaries_it_is_said_where_they_were_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_CHOSEN_BINARIES", str(tmp_path))
    with pytest.raises(NoPostgres, match=f"{tmp_path}: no initdb there"), running_cluster():
        pass

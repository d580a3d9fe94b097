"""A Python process with Dagster and this package already imported. It runs each command in a fork of itself.

A new Python takes 2.5 s of CPU to import Dagster before it runs a job. The fork gets the arguments, environment, folder
and output files of the command, and starts like ``python -m``. Use it to test what a command prints and stores. To test
a process itself (its signals, its start, the options of its interpreter), start a new Python.

The preloaded Python reads requests as lines of JSON from stdin and writes the exit code of each to stdout.
"""

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn


def run_preloaded(
    arguments: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: int
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m`` with the given arguments, and kill it if it takes longer than ``seconds``."""
    out, err = folder / ".preloaded.out", folder / ".preloaded.err"
    request = {
        "arguments": list(arguments),
        "folder": str(folder),
        "environment": dict(environment),
        "seconds": seconds,
        "out": str(out),
        "err": str(err),
    }
    python = _preloaded_python()
    assert python.stdin is not None
    assert python.stdout is not None
    python.stdin.write(json.dumps(request) + "\n")
    python.stdin.flush()
    answer = python.stdout.readline()
    assert answer, "the preloaded Python ended"
    finished = subprocess.CompletedProcess(list(arguments), int(answer), out.read_text(), err.read_text())
    out.unlink()
    err.unlink()
    return finished


@cache
def _preloaded_python() -> "subprocess.Popen[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
    python = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", __name__],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(_stop, python)
    return python


def _stop(python: "subprocess.Popen[str]") -> None:
    with python:  # closes the pipes and waits
        python.kill()


def _serve() -> None:
    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            _become(request)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _import_everything() -> None:
    """Import Dagster, including the parts that only a run imports, and this package without its definitions."""
    import dagster as dg
    import dagster._cli
    import exa_py  # noqa: F401  # brings OpenAI's client along, which takes 1.3 s

    import kalshi_pipelines.definitions  # noqa: F401

    # Forget the imported definitions, because each run must assemble them from its own settings.
    del sys.modules["kalshi_pipelines.definitions"]
    del sys.modules["kalshi_pipelines"].__dict__["definitions"]

    @dg.op
    def nothing() -> None:
        """Do nothing. Executing this empty op makes Dagster import the modules that a run needs."""

    @dg.job(executor_def=dg.in_process_executor)
    def trial() -> None:
        nothing()

    with TemporaryDirectory() as folder, dg.DagsterInstance.local_temp(folder) as instance:
        trial.execute_in_process(instance=instance)
    # Freezing keeps the garbage collector of a fork from visiting imported objects, which would copy their memory
    # pages.
    gc.collect()
    gc.freeze()


def _become(request: dict[str, Any]) -> NoReturn:
    """Run the requested command in this process, with its environment and folder, and exit as Python does."""
    signal.alarm(request["seconds"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    for stream, place in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        opened = os.open(place, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    module, *arguments = request["arguments"]
    sys.argv = [module, *arguments]
    sys.path[0] = request["folder"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    _serve()

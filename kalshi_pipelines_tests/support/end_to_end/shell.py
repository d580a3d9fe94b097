"""Running the commands of a page of docs/ as a reader would: in one shell, one after the other."""

import os
import re
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PageCommand:
    """A command of a page, with the output that the page shows below it."""

    text: str
    output: tuple[str, ...]


def blocks(page: str, kind: str) -> list[str]:
    """Return the texts of all fenced blocks of a kind, also of those inside lists."""
    found = re.findall(rf"^( *)```{kind}\n(.*?)^\1```", page, re.MULTILINE | re.DOTALL)
    return [textwrap.dedent(text) for _, text in found]


def page_commands(page: str) -> list[PageCommand]:
    """Return the commands of all console blocks of a page, in order."""
    commands: list[PageCommand] = []
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            text, *output = part.rstrip("\n").split("\n")
            commands.append(PageCommand(text, tuple(output)))
    return commands


class Shell:
    """A shell that runs all commands of a page, so that a variable exported by one command exists in the next."""

    def __init__(self, folder: Path, **variables: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KALSHI_")}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
        self._process = subprocess.Popen(
            ["bash"],
            cwd=folder,
            env=environment | {"PYTHONWARNINGS": "ignore"} | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: str) -> tuple[int, str]:
        """Run a command in the shell, and return its exit code and output."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{{ {command}\n}} < /dev/null\necho __ended__ $?\n")
        self._process.stdin.flush()
        said: list[str] = []
        for line in self._process.stdout:
            if line.startswith("__ended__"):
                return int(line.split()[1]), "".join(said)
            said.append(line)
        raise AssertionError("the shell ended: " + "".join(said))

    def close(self) -> None:
        """End the shell, and every process that it still runs in the background."""
        self._process.communicate("kill $(jobs -p) 2> /dev/null\nexit\n", timeout=10)

"""Tests of docs/trading.md: the commands of "Trade live" are run word for word, and print what the page shows."""

import re
import socket
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from kalshi_pipelines.execution.configuration import PRODUCTION_PHRASE
from kalshi_pipelines.kalshi import hosts
from kalshi_pipelines.settings import Environment
from kalshi_pipelines_tests.support.checkout import CHECKOUT
from kalshi_pipelines_tests.support.end_to_end.shell import Shell, page_commands

PAGE = (CHECKOUT / "docs" / "trading.md").read_text()
SECTION = PAGE.partition("\n### The first order, in five minutes\n")[2].partition("\n### ")[0]
PORT = "8765"
PROPOSED = re.compile(r"propose buy yes (\S+) 1 (\S+) ")
#: The parts of an output that differ in each run, with the word that stands for them in a shape.
VARYING = (
    (r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}", "UUID"),
    (r"SHA256:[0-9a-f]+", "FINGERPRINT"),
    (r"[0-9a-f]{32,64}", "DIGEST"),
    (r"KX[A-Z0-9.-]+", "TICKER"),
    (r"(?<![\w.:])/[^\s)]*/", "FOLDER/"),
    (r"[0-9][0-9,.]*", "N"),
    (r" +", " "),
)


def shape(line: str) -> str:
    """Return a line without what differs in each run: numbers, paths, digests and tickers."""
    for pattern, word in VARYING:
        line = re.sub(pattern, word, line)
    return line


def shows(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Return whether a page shows what was printed. A line ``...`` stands for any lines."""
    if not shown:
        return not printed
    if shown[0] == "...":
        return any(shows(shown[1:], printed[skipped:]) for skipped in range(len(printed) + 1))
    return bool(printed) and shape(shown[0]) == shape(printed[0]) and shows(shown[1:], printed[1:])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder, with the virtual environment of the tests as ``.venv``."""
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"export PATH={Path(sys.executable).parent}:$PATH\n")
    shell = Shell(tmp_path, LOGNAME="ann", USER="ann")
    yield shell
    shell.close()


def free_port() -> str:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return str(listening.getsockname()[1])


def test_every_command_to_the_first_order_works_and_prints_what_the_page_shows(shell: Shell) -> None:
    commands = page_commands(SECTION)
    port = free_port()
    copied: re.Match[str] | None = None
    for command in commands:
        text = command.text.replace(PORT, port)
        on_page = PROPOSED.search(text)
        if on_page is not None:
            # The reader copies this line from the output of the command before. Its market depends on the day.
            assert copied is not None
            text = text.replace(on_page[1], copied[1]).replace(on_page[2], copied[2])
        status, output = shell.run(text)
        copied = PROPOSED.search(output) or copied
        left = any(line.startswith("Not ready: ") for line in command.output)
        assert status == (1 if left else 0), f"{text}\n{output}"
        if command.output:
            assert shows(command.output, output.splitlines()), f"{text}\n{output}"
    named = " ".join(command.text for command in commands)
    assert all(f"kalshi_pipelines.execution {name}" in named for name in ("setup", "release", "arm", "trade", "status"))


def test_table_of_demo_and_production_names_addresses_and_consent() -> None:
    table = PAGE.partition("\n### Then on demo, then with real money\n")[2].partition("\n### ")[0]
    columns = [line.split("|") for line in table.splitlines() if line.startswith("|")]
    address, consent = (next(row for row in columns if name in row[1]) for name in ("KALSHI_TRADE_URL", "consent"))
    assert address[3].strip() == f"`{hosts.base_urls(Environment.DEMO)[0]}`"
    assert address[4].strip() == f"`{hosts.base_urls(Environment.PROD)[0]}`"
    assert f"`KALSHI_TRADE_PRODUCTION={PRODUCTION_PHRASE}`" in consent[4]

"""Tests of the documentation pages about the sandbox: the example program runs, and the tables are complete."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from kalshi_pipelines.sandbox.admin.exchange_routes import ADMIN_ROUTES
from kalshi_pipelines.sandbox.faults.drift import FUNCTIONS, OPERATIONS
from kalshi_pipelines.sandbox.faults.hostile import HOSTILE_BODIES
from kalshi_pipelines.sandbox.faults.plan import KINDS
from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines.sandbox.trading.events import AnyEvent
from kalshi_pipelines_tests.support.checkout import DOCS

SANDBOX, TRADING = (DOCS / name for name in ("sandbox.md", "sandbox_trading.md"))


def test_the_program_of_the_page_places_an_order_once(tmp_path: Path) -> None:
    program = re.search(r"```python\n(.*?)```\n", TRADING.read_text("utf-8"), re.DOTALL)
    assert program is not None
    with running_sandbox(SandboxOptions(markets=60, combos=0, tick_seconds=0)) as sandbox:
        environment = {**os.environ, "KALSHI_SANDBOX_URL": sandbox.url}
        command = [sys.executable, "-m", "kalshi_pipelines.sandbox.create_key"]
        made = subprocess.run(
            [*command, "--out", tmp_path / "key.pem", "--scopes", "read,write::trade", "--deposit", "500"],
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        exports = dict(line.removeprefix("export ").split("=", 1) for line in made.stdout.splitlines())
        ran = subprocess.run(
            [sys.executable, "-c", program.group(1)],
            capture_output=True,
            text=True,
            check=True,
            env=environment | exports,
        )
    first, second = ran.stdout.splitlines()
    assert '"fill_count":"1.00"' in first
    assert '"code":"order_already_exists"' in second


def test_the_pages_name_every_fault_every_route_and_every_event() -> None:
    pages = SANDBOX.read_text("utf-8") + TRADING.read_text("utf-8")
    missing = [kind for kind in KINDS if f"| `{kind}`" not in pages]
    missing += [route.path for route in ADMIN_ROUTES if f"/sandbox{route.path}" not in pages]
    missing += [event.__name__ for event in get_args(AnyEvent) if f"`{event.__name__}`" not in pages]
    missing += [name for name in (*OPERATIONS, *FUNCTIONS, *HOSTILE_BODIES) if f"`{name}`" not in pages]
    assert not missing

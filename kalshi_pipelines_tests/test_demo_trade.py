"""``make demo-trade`` places, denies and cancels orders on its own sandbox, and is harmless in any shell."""

import os
import subprocess
import sys
from pathlib import Path


def test_demo_trades_only_on_its_sandbox_whatever_the_shell_settings(tmp_path: Path) -> None:
    real = {"KALSHI_ENVIRONMENT": "prod", "KALSHI_TRADE_MODE": "live", "KALSHI_TRADE_URL": "https://kalshi.invalid"}
    done = subprocess.run(
        [sys.executable, "-m", "kalshi_pipelines.demo_trade"],
        env=os.environ | real | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for promised in (
        "simulated: buy 5.00 YES",
        "placed: buy 5.00 NO",
        "denied: buy 5.00 YES",
        "price_outside_band",
        "reconciliation: clean",
        "the exchange has 3 orders",
        "FLAT: no order rests",
        "no session was opened (kill_switch_engaged)",
        "clean: ",
    ):
        assert promised in done.stdout, done.stdout

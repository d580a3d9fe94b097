import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from kalshi_pipelines.sandbox.process import SandboxDidNotStart, SandboxOptions, running_sandbox

TINY = SandboxOptions(markets=20, combos=2, tier="unlimited", warm=False)


def _is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat")
        # A killed orphan stays a zombie until its new parent reaps it. A zombie counts as ended.
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


def test_a_running_sandbox_serves_and_is_gone_afterwards(tmp_path: Path) -> None:
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = tmp_path / "key.pem"
    key.write_bytes(pem)
    options = SandboxOptions(
        markets=20, combos=2, tier="basic", keys={"a": key}, endpoint_costs={"GET /markets": 1}, read_capacity=50
    )
    with running_sandbox(options) as sandbox:
        assert sandbox.url.endswith("/trade-api/v2")
        answer = httpx.get(f"{sandbox.url}/markets", params={"mve_filter": "exclude"})
        assert len(answer.json()["markets"]) == 20
        health = httpx.get(f"{sandbox.admin_url}/sandbox/health").json()
        assert (health["markets"], health["combos"]) == (20, 2)
        requests = httpx.get(f"{sandbox.admin_url}/sandbox/requests").json()["endpoints"]
        assert requests["GET /markets"]["tokens_charged"] == 1
    assert _is_gone(sandbox.pid)


def test_the_options_of_the_trading_side_reach_the_child(tmp_path: Path) -> None:
    options = SandboxOptions(markets=5, combos=0, balance=5, read_lag_ms=1_500, crowd=False, state=tmp_path / "state")
    with running_sandbox(options) as sandbox:
        conduct = httpx.post(f"{sandbox.admin_url}/sandbox/conduct").json()
        assert (conduct["read_lag"], conduct["crowd"]) == (1.5, False)
        member = httpx.post(f"{sandbox.admin_url}/sandbox/members", json={"member": "ann"}).json()
        assert {account["cash_dollars"] for account in member["accounts"]} == {"5.000000"}
    assert (tmp_path / "state").read_bytes().count(b"MoneyMoved") == 4


def test_a_cut_connection_ends_in_the_middle_of_the_body() -> None:
    with running_sandbox(TINY) as sandbox:
        fault = {"endpoint": "GET /markets", "kind": "cut_connection"}
        httpx.post(f"{sandbox.admin_url}/sandbox/faults", json=fault).raise_for_status()
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{sandbox.url}/markets")
        assert httpx.get(f"{sandbox.url}/markets").status_code == 200


def test_a_sandbox_that_cannot_start_reports_the_reason(tmp_path: Path) -> None:
    with (
        pytest.raises(SandboxDidNotStart, match=r"holds no [.]json file"),
        running_sandbox(SandboxOptions(recordings=tmp_path)),
    ):
        pytest.fail("it started")


def test_a_taken_port_is_named_without_a_traceback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(SandboxDidNotStart, match=f"cannot listen on 127[.]0[.]0[.]1:{port}") as failure,
            running_sandbox(SandboxOptions(markets=1, port=port)),
        ):
            pytest.fail("it started")
    assert "Traceback" not in str(failure.value)


def test_a_killed_parent_leaves_no_orphan() -> None:
    script = (
        "import sys, time\n"
        "from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox\n"
        "with running_sandbox(SandboxOptions(markets=5)) as sandbox:\n"
        "    print(sandbox.pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert _is_gone(pid)


def test_a_sandbox_run_by_hand_prints_its_address_and_ends_on_ctrl_c() -> None:
    command = [sys.executable, "-m", "kalshi_pipelines.sandbox", "--markets=5", "--port=0"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert "http://127.0.0.1:" in child.stdout.readline()
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
        assert child.stderr.read() == ""


def test_wrong_arguments_are_explained() -> None:
    for argument in ("--key=only-a-name", "--markets=-1", "--port=65536", "--endpoint-cost=GET /markets=x", "--tier=x"):
        command = [sys.executable, "-m", "kalshi_pipelines.sandbox", argument]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert argument.partition("=")[0] in done.stderr

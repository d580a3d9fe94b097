"""A run with a configured private key leaves no part of the key in any file or output."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from kalshi_pipelines.sandbox.process import SandboxOptions, running_sandbox
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand

KEY_ID = "5f3a9c1e-1111-4222-8333-444455556666"


@pytest.fixture(params=["rsa", "ed25519"])
def key_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    key = rsa.generate_private_key(65537, 2048) if request.param == "rsa" else ed25519.Ed25519PrivateKey.generate()
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    path.chmod(0o600)
    return path


def pieces(key_file: Path) -> Iterator[bytes]:
    """Yield pieces of a private key as text and as bytes. Searching for pieces also finds a part of the key."""
    lines = key_file.read_text().splitlines()[1:-1]
    for line in lines:
        yield from (line[start : start + 24].encode() for start in range(0, len(line) - 23, 8))
    der = base64.b64decode("".join(lines))
    yield from (der[start : start + 24] for start in range(26, len(der) - 24, 16))
    yield KEY_ID.encode()


def traces(folder: Path, key_file: Path, output: str) -> dict[str, bytes]:
    """Return a run's output and all files it wrote, SQLite files and compute logs included, but not the key file."""
    files = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path != key_file}
    return files | {"output": output.encode()}


@pytest.mark.parametrize("fails", [False, True], ids=["success", "failure"])
def test_run_with_a_configured_key_leaves_no_part_of_it_anywhere(
    dagster_command: RunCommand, key_file: Path, tmp_path: Path, fails: bool
) -> None:
    options = SandboxOptions(markets=300, combos=0, tier="basic", keys={} if fails else {KEY_ID: key_file})
    with running_sandbox(options) as sandbox:
        finished = dagster_command(
            "nightly",
            {
                "KALSHI_SANDBOX_URL": sandbox.url,
                "KALSHI_API_KEY_ID": KEY_ID,
                "KALSHI_PRIVATE_KEY_FILE": str(key_file),
            },
        )
    assert finished.returncode == int(fails), finished.stderr[-2000:]
    left = traces(tmp_path, key_file, finished.stdout + finished.stderr)
    assert any(name.endswith(".db") and ".dagster" in name for name in left), json.dumps(sorted(left))
    for name, content in left.items():
        for piece in pieces(key_file):
            assert piece not in content, f"a piece of the key is in {name}"

"""Invalid input ends a command with one sentence and a remedy, and leaves no file changed or half-written."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kalshi_pipelines.sandbox.process import SandboxProcess
from kalshi_pipelines_tests.support.end_to_end.running import RunCommand

Prepare = Callable[[Path], dict[str, str]]

KEY_ID = "7a1a9b1e-0000-4000-8000-000000000000"


def wrong_environment(folder: Path) -> dict[str, str]:
    return {"KALSHI_ENVIRONMENT": "production"}


def missing_key_file(folder: Path) -> dict[str, str]:
    return {"KALSHI_API_KEY_ID": KEY_ID, "KALSHI_PRIVATE_KEY_FILE": str(folder / "missing.pem")}


def key_of_the_wrong_type(folder: Path) -> dict[str, str]:
    path = folder / "elliptic.pem"
    path.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    path.chmod(0o600)
    return {"KALSHI_API_KEY_ID": KEY_ID, "KALSHI_PRIVATE_KEY_FILE": str(path)}


def key_instead_of_its_path(folder: Path) -> dict[str, str]:
    pem = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0LXNlY3JldC1zZWNyZXQ=\n-----END PRIVATE KEY-----"
    return {"KALSHI_API_KEY_ID": KEY_ID, "KALSHI_PRIVATE_KEY_FILE": pem}


def data_folder_that_can_not_be_written(folder: Path) -> dict[str, str]:
    (folder / "file").touch()
    return {"KALSHI_DATA_DIR": str(folder / "file" / "data")}


def damaged_warehouse(folder: Path) -> dict[str, str]:
    path = folder / "data" / "sandbox" / "warehouse.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"SQLite format 3\x00" + b"\xff" * 8192)
    return {}


def unreachable_host(folder: Path) -> dict[str, str]:
    return {"KALSHI_SANDBOX_URL": "http://127.0.0.1:1/trade-api/v2"}


def host_that_is_not_the_exchange(folder: Path) -> dict[str, str]:
    return {"KALSHI_SANDBOX_URL": "https://example.com/trade-api/v2"}


CASES: list[tuple[Prepare, list[str]]] = [
    (wrong_environment, ["KALSHI_ENVIRONMENT is 'production'", "'sandbox', 'demo' or 'prod'"]),
    (missing_key_file, ["missing.pem", "KALSHI_PRIVATE_KEY_FILE"]),
    (key_of_the_wrong_type, ["elliptic.pem", "Ed25519"]),
    (key_instead_of_its_path, ["KALSHI_PRIVATE_KEY_FILE", "path"]),
    (data_folder_that_can_not_be_written, ["cannot be written", "KALSHI_DATA_DIR"]),
    (damaged_warehouse, ["warehouse.db is not a SQLite database", "not touched", "KALSHI_DATA_DIR"]),
    (unreachable_host, ["127.0.0.1:1", "KALSHI_SANDBOX_URL"]),
    (host_that_is_not_the_exchange, ["example.com", "KALSHI_SANDBOX_URL"]),
]


@pytest.mark.parametrize(("prepare", "expected"), CASES, ids=lambda part: getattr(part, "__name__", ""))
def test_bad_input_fails_with_a_sentence_and_a_remedy(
    dagster_command: RunCommand, frozen_sandbox: SandboxProcess, tmp_path: Path, prepare: Prepare, expected: list[str]
) -> None:
    variables = {"KALSHI_SANDBOX_URL": frozen_sandbox.url} | prepare(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*.db")}
    finished = dagster_command("nightly", variables)
    output = finished.stdout + finished.stderr
    assert finished.returncode == 1, output[-2000:]
    sentence = next(line for line in output.splitlines() if " - ERROR - " in line)
    for part in expected:
        assert part in sentence
    assert "Traceback" not in output[: output.index(sentence)]
    assert "Stack Trace" not in output[: output.index(sentence)]
    assert "c2VjcmV0" not in output
    for path, content in files.items():
        assert path.read_bytes() == content
    assert not list(tmp_path.rglob("*.parquet"))

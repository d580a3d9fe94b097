"""``python -m kalshi_pipelines.sandbox.create_key``: make an API key and register it with a running sandbox.

Belongs here: making the key pair, writing the key file, and registering the public part. The private part is written to
the file and nowhere else. Does not belong here: the use of a registered key (``access.memberships``).
"""

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.sandbox.access.memberships import DEFAULT_MEMBER, FULL_SCOPES, UnusableScopes, check_scopes
from kalshi_pipelines.sandbox.access.signatures import public_pem
from kalshi_pipelines.sandbox.admin.routes import ADMIN_ROOT

DEFAULT_URL: Final = "http://127.0.0.1:8765"
#: The scopes of a key that may only read and trade.
TRADE_SCOPES: Final = ("read", "write::trade")
KEY_TYPES: Final = ("ed25519", "rsa")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
_RSA_BITS: Final = 2_048
_RSA_EXPONENT: Final = 65_537
_TIMEOUT_SECONDS: Final = 10
_REFUSED: Final = 400


class KeyNotCreated(ExpectedError):
    """No API key was created. The message holds the reason."""


def private_pem(key: RSAPrivateKey | Ed25519PrivateKey) -> bytes:
    """Return a private key as PEM text in the vendor's formats: PKCS#1 for RSA, PKCS#8 for Ed25519."""
    form = PrivateFormat.TraditionalOpenSSL if isinstance(key, RSAPrivateKey) else PrivateFormat.PKCS8
    return key.private_bytes(Encoding.PEM, form, NoEncryption())


def new_key(key_type: str) -> RSAPrivateKey | Ed25519PrivateKey:
    """Return a new private key: ``rsa`` with 2048 bits, or ``ed25519``."""
    return generate_private_key(_RSA_EXPONENT, _RSA_BITS) if key_type == "rsa" else Ed25519PrivateKey.generate()


def write_new(path: Path, content: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        KeyNotCreated: The file exists already or cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyNotCreated(
            f"{path} exists already, and a key file is never overwritten.", "Choose another name."
        ) from None
    except OSError as error:
        raise KeyNotCreated(
            f"{path} cannot be written: {error.strerror}.", "Choose a folder that you may write to."
        ) from None
    with open(descriptor, "wb") as file:  # noqa: PTH123  (a descriptor, not a path)
        os.fchmod(descriptor, 0o600)
        file.write(content)


def register(url: str, request: dict[str, object]) -> None:
    """Register a public key with a running sandbox.

    Raises:
        KeyNotCreated: No sandbox answers at the address, or it refuses the key.
    """
    try:
        answer = httpx.post(f"{url}{ADMIN_ROOT}/keys", json=request, timeout=_TIMEOUT_SECONDS, trust_env=False)
    except httpx.TransportError as error:
        raise KeyNotCreated(
            f"No sandbox answers at {url} ({error}).", "Start a sandbox with: python -m kalshi_pipelines.sandbox"
        ) from None
    if answer.status_code >= _REFUSED:
        raise KeyNotCreated(f"{url} answered {answer.status_code}: {_reason(answer)}")


def _reason(answer: httpx.Response) -> str:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return str(answer.json()["error"])
    return "This is not a sandbox." if answer.status_code == httpx.codes.NOT_FOUND else answer.reason_phrase


def _root(text: str) -> str:
    """Return the address of a sandbox without the path of its API."""
    try:
        parts = urlsplit(text)
        # Read the port to check it: an invalid port raises ValueError.
        is_address = parts.scheme == "http" and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise argparse.ArgumentTypeError(f"{text!r} is not an address such as {DEFAULT_URL}")
    return f"{parts.scheme}://{parts.netloc}"


def _scopes(text: str) -> tuple[str, ...]:
    try:
        return check_scopes(text.split(","))
    except UnusableScopes as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m kalshi_pipelines.sandbox.create_key",
        description="Make an API key and register its public part with a running sandbox exchange.",
    )
    parser.add_argument(
        "--url",
        type=_root,
        default=os.environ.get("KALSHI_SANDBOX_URL") or DEFAULT_URL,
        help=f"address of the sandbox (default: KALSHI_SANDBOX_URL, or {DEFAULT_URL})",
    )
    parser.add_argument("--host", help="confirm the host of the sandbox if it is not this computer")
    parser.add_argument("--type", choices=KEY_TYPES, default="ed25519", help="type of the key (default: ed25519)")
    parser.add_argument(
        "--scopes",
        type=_scopes,
        default=FULL_SCOPES,
        help="scopes of the key, such as read,write::trade (default: read,write)",
    )
    parser.add_argument("--subaccount", type=int, metavar="N", help="lock the key to this sub-account")
    parser.add_argument(
        "--member", default=DEFAULT_MEMBER, help=f"member that owns the key (default: {DEFAULT_MEMBER})"
    )
    parser.add_argument("--deposit", metavar="DOLLARS", help="deposit this amount on each shard")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="key file to write; must not exist yet")
    return parser


def create(arguments: argparse.Namespace) -> str:
    """Make an API key, write the key file, register the key with the sandbox, and return the key id.

    Raises:
        KeyNotCreated: A step failed. No key file is left behind.
    """
    host = urlsplit(arguments.url).hostname
    if host not in {*_LOOPBACK, arguments.host}:
        raise KeyNotCreated(
            f"{host} is not this computer.", f"If the sandbox runs there, confirm it with --host {host}."
        )
    key = new_key(arguments.type)
    key_id = str(uuid4())
    request: dict[str, object] = {
        "key_id": key_id,
        "public_key_pem": public_pem(key.public_key()),
        "name": arguments.out.name,
        "member": arguments.member,
        "scopes": list(arguments.scopes),
    }
    if arguments.subaccount is not None:
        request["subaccount"] = arguments.subaccount
    if arguments.deposit is not None:
        request["deposit"] = arguments.deposit
    write_new(arguments.out, private_pem(key))
    try:
        register(arguments.url, request)
    except BaseException:
        arguments.out.unlink()
        raise
    return key_id


def create_trade_key(
    url: str,
    file: Path,
    *,
    subaccount: int = 0,
    member: str = DEFAULT_MEMBER,
    deposit: str | None = None,
) -> str:
    """Make a key that may only read and trade in one sub-account, and return its id.

    ``url`` is the address of a running sandbox.

    Raises:
        KeyNotCreated: A step failed. No key file is left behind.
    """
    arguments = argparse.Namespace(
        url=_root(url),
        host=None,
        type="ed25519",
        scopes=TRADE_SCOPES,
        subaccount=subaccount,
        member=member,
        deposit=deposit,
        out=file,
    )
    return create(arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Make an API key with the command line's options, and return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        key_id = create(arguments)
    except KeyNotCreated as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(
        f"export KALSHI_API_KEY_ID={key_id}\n"
        f"export KALSHI_PRIVATE_KEY_FILE={shlex.quote(str(arguments.out.resolve()))}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

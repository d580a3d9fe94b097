import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat, PublicFormat

from kalshi_pipelines.kalshi.errors import UnusableKey
from kalshi_pipelines.kalshi.signing import PrivateKey, Signer
from kalshi_pipelines_tests.support.kalshi.keys import pem_of, verify


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_request_is_signed_over_time_method_and_path(
    private_key: PrivateKey, form: PrivateFormat, tmp_path: Path
) -> None:
    if isinstance(private_key, ed25519.Ed25519PrivateKey):
        form = PrivateFormat.PKCS8
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(private_key, form))
    headers = Signer.from_file("key-id", file).headers("GET", "/trade-api/v2/markets")
    assert headers["KALSHI-ACCESS-KEY"] == "key-id"
    signed = headers["KALSHI-ACCESS-TIMESTAMP"] + "GET" + "/trade-api/v2/markets"
    verify(private_key, headers["KALSHI-ACCESS-SIGNATURE"], signed)
    with pytest.raises(InvalidSignature):
        verify(private_key, headers["KALSHI-ACCESS-SIGNATURE"], signed + "?limit=5")


def test_the_timestamp_is_in_milliseconds_of_the_exchange_clock(ed25519_key: PrivateKey) -> None:
    signer = Signer("key-id", ed25519_key, clock_us=lambda: 1_790_000_000_123_456)
    assert signer.headers("GET", "/x")["KALSHI-ACCESS-TIMESTAMP"] == "1790000000123"
    signer.follow_clock(1_790_000_060_000)
    assert signer.headers("GET", "/x")["KALSHI-ACCESS-TIMESTAMP"] == "1790000060000"


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1)
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    certificate = builder.not_valid_before(start).not_valid_after(start + dt.timedelta(days=1))
    return certificate.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def _unusable(what: str, key: rsa.RSAPrivateKey) -> bytes:
    encrypted = serialization.BestAvailableEncryption(b"secret")
    pem = pem_of(key)
    return {
        "encrypted PKCS#8": key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted),
        "encrypted PKCS#1": key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, encrypted),
        "elliptic curve": pem_of(ec.generate_private_key(ec.SECP256R1())),
        "public key": key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "certificate": _certificate(key),
        "DER": key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, serialization.NoEncryption()),
        "empty": b"",
        "text": b"hello",
        "truncated": pem[: len(pem) // 2],
        "damaged": pem.replace(b"A", b"!", 40),
    }[what]


@pytest.mark.parametrize(
    "what",
    [
        "encrypted PKCS#8",
        "encrypted PKCS#1",
        "elliptic curve",
        "public key",
        "certificate",
        "DER",
        "empty",
        "text",
        "truncated",
        "damaged",
    ],
)
def test_file_without_a_usable_key_is_refused_with_a_remedy(
    what: str, rsa_key: rsa.RSAPrivateKey, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    content = _unusable(what, rsa_key)
    file.write_bytes(content)
    with pytest.raises(UnusableKey) as caught:
        Signer.from_file("key-id", file)
    assert str(file) in str(caught.value)
    assert caught.value.remedy
    assert caught.value.__context__ is None
    lines = [line for line in content.decode(errors="replace").splitlines() if len(line) > 20 and "---" not in line]
    assert not any(line in str(caught.value) for line in lines)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnusableKey, match="No such file"):
        Signer.from_file("key-id", tmp_path / "absent.pem")
    with pytest.raises(UnusableKey, match="folder"):
        Signer.from_file("key-id", tmp_path)


def test_a_file_without_permission_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(b"x")

    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UnusableKey, match=r"Permission denied.*permission to read it"):
        Signer.from_file("key-id", file)


def test_a_key_given_as_the_path_is_never_echoed(ed25519_key: ed25519.Ed25519PrivateKey, rsa_key: PrivateKey) -> None:
    pem = pem_of(ed25519_key).decode()
    one_line = "".join(line for line in pem_of(rsa_key).decode().splitlines() if "---" not in line).replace("/", "+")
    for text in (pem, pem.replace("\n", " "), one_line):
        with pytest.raises(UnusableKey) as caught:
            Signer.from_file("key-id", Path(text))
        assert "MC4CAQ" not in repr(caught.value)
        assert one_line[:20] not in repr(caught.value)


def test_the_key_is_parsed_once_and_again_when_the_file_changes(
    rsa_key: PrivateKey, ed25519_key: PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(rsa_key))
    first = Signer.from_file("key-id", file)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", lambda _: pytest.fail("read again"))
        assert Signer.from_file("key-id", file).fingerprint == first.fingerprint
    file.write_bytes(pem_of(ed25519_key))
    assert Signer.from_file("key-id", file).fingerprint != first.fingerprint


def test_key_file_that_everyone_can_read_causes_a_warning(
    ed25519_key: PrivateKey, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(pem_of(ed25519_key))
    file.chmod(0o600)
    Signer.from_file("key-id", file)
    assert not caplog.records
    file.chmod(0o644)
    Signer.from_file("key-id", file)
    assert "chmod 600" in caplog.text


def test_a_signer_shows_only_a_fingerprint(rsa_key: PrivateKey) -> None:
    shown = repr(Signer("my-key-id", rsa_key))
    assert shown.startswith("Signer(public key SHA256:")
    assert "my-key-id" not in shown


@pytest.mark.parametrize(
    "key_id", ["", "-----BEGIN PRIVATE KEY-----\nMC4CAQAwsecret\n", "id\n", "a b", "x" * 65, "naïve", "id:secret"]
)
def test_an_id_that_may_be_the_key_itself_is_refused_and_not_shown(key_id: str) -> None:
    with pytest.raises(UnusableKey, match="characters that no key id has") as refused:
        Signer(key_id, ed25519.Ed25519PrivateKey.generate())
    assert not key_id or key_id not in str(refused.value)
    assert Signer("x" * 64, ed25519.Ed25519PrivateKey.generate()).headers("GET", "/")["KALSHI-ACCESS-KEY"] == "x" * 64

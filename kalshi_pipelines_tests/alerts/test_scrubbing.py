"""Alert messages have a bounded length, no secrets and no active markup, even with hostile text from a vendor."""

import base64
import unicodedata
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.alerts.scrubbing import neutral, scrubbed

_ENDS = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
PEMS = [
    rsa.generate_private_key(public_exponent=65_537, key_size=2_048).private_bytes(*_ENDS).decode(),
    ed25519.Ed25519PrivateKey.generate().private_bytes(*_ENDS).decode(),
]
ANY_TEXT = st.text(max_size=60)
LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=12, max_size=40)
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=8, max_size=30)
KEY_ID = "a0b1c2d3-e4f5-4a6b-8c7d-9e8f7a6b5c4d"


@given(ANY_TEXT, st.sampled_from(PEMS), ANY_TEXT, st.integers(min_value=40, max_value=400))
def test_private_key_is_hidden_even_if_cut_off(before: str, pem: str, after: str, kept: int) -> None:
    for text in (f"{before}{pem}{after}", f"{before}{pem[:kept]}", f"{before}{pem!r}{after}"):
        for shown in (scrubbed(text), neutral(text)):
            assert pem[32:48] not in shown


@given(ANY_TEXT, PASSWORDS, st.sampled_from(["postgresql+psycopg", "https", "json", "mailto", "redis"]))
def test_password_of_an_address_is_hidden(before: str, password: str, scheme: str) -> None:
    for written in (quote(password, safe=""), password):
        shown = scrubbed(f"{before} {scheme}://operator:{written}@db.example/kalshi")
        if not set(" \"'<>?#/") & set(written):
            assert written not in shown or written in before


@pytest.mark.parametrize(
    "name",
    [
        "KALSHI-ACCESS-KEY",
        "KALSHI-ACCESS-SIGNATURE",
        "x-api-key",
        "api_key",
        "apiKey",
        "Authorization",
        "password",
        "client_secret",
        "access_token",
        "sessionToken",
        "set-cookie",
    ],
)
@given(secret=LETTERS)
def test_named_secret_is_hidden(name: str, secret: str) -> None:
    for text in (
        f"{name}: {secret}",
        f"{name}={secret}&x=1",
        f'{{"{name}": "{secret}"}}',
        f"{{'{name}': '{secret}'}}",
        f"https://x/?{name}={secret}",
    ):
        assert secret not in scrubbed(text)


@given(st.binary(min_size=36, max_size=256))
def test_signature_without_a_name_is_hidden(signature: bytes) -> None:
    encoded = base64.b64encode(signature).decode()
    if all(any(letter in letters for letter in encoded[:32]) for letters in _KINDS) and "/" not in encoded[:32]:
        assert encoded not in scrubbed(f"refused: {encoded}")


_KINDS = ("abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789")


@pytest.mark.parametrize(
    "text",
    [
        f"key {KEY_ID} is unknown",
        "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc",
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "https://discord.com/api/webhooks/123456/abcdefSECRET",
        "xoxb-123456789012-abcdefSECRET",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
    ],
)
def test_text_that_looks_like_a_credential_is_hidden(text: str) -> None:
    assert "[hidden]" in scrubbed(text)
    assert not {KEY_ID, "SECRET", "XXXXXXXX", "eyJzdWIi", "ghp_abc"} & {
        part for part in (KEY_ID, "SECRET", "XXXXXXXX", "eyJzdWIi", "ghp_abc") if part in scrubbed(text)
    }


@pytest.mark.parametrize(
    "text",
    [
        "https://api.elections.kalshi.com/trade-api/v2/markets/KXMLBGAME-26NOV22-TORPHI-TOR?status=open",
        "markets[].yes_bid_dollars: in 1,000 of 1,000",
        "0.5700 became 0.57",
        "2026-11-22T22:40:00.123456Z",
    ],
)
def test_text_that_a_person_needs_is_shown(text: str) -> None:
    assert scrubbed(text) == text


@given(st.text(max_size=2_000), st.integers(min_value=1, max_value=400))
def test_every_text_is_bounded_and_scrubbing_twice_changes_nothing(text: str, most: int) -> None:
    assert len(scrubbed(text, most)) <= most
    assert len(neutral(text, most)) <= most
    assert scrubbed(scrubbed(text)) == scrubbed(text)


@given(st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp", "Lu", "Co", "Cs"]), max_size=300))
def test_invisible_characters_are_removed(text: str) -> None:
    assert not {unicodedata.category(letter) for letter in neutral(text)} & {"Cc", "Cf", "Zl", "Zp", "Co", "Cs"}


MARKUP = (
    *("<!channel>", "<!here>", "@everyone", "@here", "<@U123>", "<@&9>", "<http://evil.example|bank>", "**", "`", "||"),
    *("[bank](http://evil.example)", "~~", "\u202e", "\u200b", "\x1b[31m", "# ", "javascript:x", "a", " "),
)


@given(st.lists(st.sampled_from(MARKUP), max_size=20).map("".join))
def test_markup_that_a_channel_would_act_on_is_neutralized(text: str) -> None:
    shown = neutral(text)
    assert not set(shown) & set("<>@`*~|#!&")
    assert "](" not in shown
    assert "://" not in shown.replace(" ://", "")


def test_huge_text_is_scrubbed_in_bounded_time() -> None:
    for text in (
        "A" * 10_000_000,
        "a1B/" * 2_500_000,
        "token=" * 1_000_000,
        "x://" * 1_000_000,
        "-----BEGIN A" * 500_000,
    ):
        assert len(scrubbed(text)) <= 300
        assert len(neutral(text)) <= 300

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kalshi_pipelines.sandbox.access.rate_limits import TIERS, BucketSize, TokenBucket
from kalshi_pipelines.sandbox.access.signatures import UnusablePublicKey, public_key_of
from kalshi_pipelines.sandbox.options import SandboxOptions
from kalshi_pipelines_tests.support.checkout import RECORDINGS
from kalshi_pipelines_tests.support.sandbox.local_sandbox import API, LocalSandbox, local_sandbox
from kalshi_pipelines_tests.support.sandbox.signing import PrivateKey, RequestSigner

LIMITS = "/account/limits"


@pytest.fixture(scope="module")
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def ed_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture
def signed(sandbox: LocalSandbox, rsa_key: rsa.RSAPrivateKey, ed_key: ed25519.Ed25519PrivateKey) -> LocalSandbox:
    for key_id, key in (("rsa", rsa_key), ("ed", ed_key)):
        _register(sandbox, key_id, key)
    return sandbox


def _register(sandbox: LocalSandbox, key_id: str, key: PrivateKey) -> None:
    sandbox.steer("POST", "/keys", key_id=key_id, public_key_pem=RequestSigner(key_id, key).public_pem)


def _headers(key: PrivateKey, key_id: str, timestamp_ms: int, path: str) -> dict[str, str]:
    return RequestSigner(key_id, key, lambda: timestamp_ms).headers("GET", API + path)


def _now_ms(sandbox: LocalSandbox) -> int:
    return sandbox.time.microseconds // 1_000


def _matches_recording(body: bytes, name: str) -> bool:
    path = RECORDINGS / "demo_2026_06" / name
    if not path.is_file():
        pytest.skip(f"the recorded response {name} is not on this machine")
    return body == path.read_bytes().strip()


@pytest.mark.parametrize("key_id", ["rsa", "ed"])
def test_both_kinds_of_signature_are_accepted_and_do_not_cover_the_query(
    signed: LocalSandbox, request: pytest.FixtureRequest, key_id: str
) -> None:
    key = request.getfixturevalue(f"{key_id}_key")
    headers = _headers(key, key_id, _now_ms(signed), LIMITS)
    response = signed.client.get(API + LIMITS + "?some=query", headers=headers)
    assert response.status_code == 200
    assert set(response.json()) == {"usage_tier", "read", "write", "grants"}


@pytest.mark.parametrize(
    ("skew_ms", "status"), [(-10_000, 200), (5_000, 200), (-10_001, 401), (-30_000, 401), (300_000, 401)]
)
def test_a_skewed_clock_is_accepted_as_recorded(
    signed: LocalSandbox, ed_key: ed25519.Ed25519PrivateKey, skew_ms: int, status: int
) -> None:
    headers = _headers(ed_key, "ed", _now_ms(signed) + skew_ms, LIMITS)
    response = signed.client.get(API + LIMITS, headers=headers)
    assert response.status_code == status
    if status == 401:
        assert _matches_recording(response.content, "auth__skew_minus30s.json")


def test_a_bad_signature_is_refused_as_recorded(signed: LocalSandbox, rsa_key: rsa.RSAPrivateKey) -> None:
    for path, key_id in (("/other", "rsa"), (LIMITS, "ed")):
        headers = _headers(rsa_key, key_id, _now_ms(signed), path)
        response = signed.client.get(API + LIMITS, headers=headers)
        assert response.status_code == 401
        assert _matches_recording(response.content, "auth__bad_signature.json")
    garbled = {**headers, "KALSHI-ACCESS-SIGNATURE": "not base64!"}
    assert signed.client.get(API + LIMITS, headers=garbled).content == response.content


def test_a_signature_that_is_not_even_ascii_is_a_bad_one(
    signed: LocalSandbox, ed_key: ed25519.Ed25519PrivateKey
) -> None:
    good = _headers(ed_key, "ed", _now_ms(signed), LIMITS)
    headers = {name: text.encode() for name, text in good.items()} | {"KALSHI-ACCESS-SIGNATURE": b"\xe9\xe9\xe9\xe9"}
    response = signed.client.get(API + LIMITS, headers=headers)  # type: ignore[arg-type]
    assert (response.status_code, response.json()["error"]["details"]) == (401, "INCORRECT_API_KEY_SIGNATURE")


def test_an_unknown_key_is_refused_as_recorded(signed: LocalSandbox, rsa_key: rsa.RSAPrivateKey) -> None:
    headers = _headers(rsa_key, "nobody", _now_ms(signed), LIMITS)
    response = signed.client.get(API + LIMITS, headers=headers)
    assert response.status_code == 401
    assert _matches_recording(response.content, "auth__unknown_key_id.json")


def test_a_missing_signature_is_refused_as_recorded(signed: LocalSandbox, rsa_key: rsa.RSAPrivateKey) -> None:
    headers = _headers(rsa_key, "rsa", _now_ms(signed), LIMITS)
    del headers["KALSHI-ACCESS-SIGNATURE"]
    for response in (signed.client.get(API + LIMITS, headers=headers), signed.get(LIMITS)):
        assert response.status_code == 401
        assert _matches_recording(response.content, "auth__missing_signature_header.json")


def test_a_bad_signature_is_refused_on_public_endpoints_too(signed: LocalSandbox, rsa_key: rsa.RSAPrivateKey) -> None:
    headers = _headers(rsa_key, "nobody", _now_ms(signed), "/markets")
    assert signed.client.get(API + "/markets", headers=headers).status_code == 401
    assert signed.get("/markets").status_code == 200


def test_private_and_public_files_hold_a_key_and_other_texts_do_not(
    tmp_path: Path, ed_key: ed25519.Ed25519PrivateKey, rsa_key: rsa.RSAPrivateKey
) -> None:
    forms = (serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL)
    for key, form in ((ed_key, forms[0]), (rsa_key, forms[0]), (rsa_key, forms[1])):
        pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        assert public_key_of(pem) == public_key_of(public) == key.public_key()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = other.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    unsupported = b"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2V4AyEA" + b"A" * 43 + b"=\n-----END PUBLIC KEY-----\n"
    for text in (pem, b"", b"-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----", unsupported):
        with pytest.raises(UnusablePublicKey):
            public_key_of(text)


def test_a_bucket_refills_continuously_and_holds_no_more_than_its_capacity() -> None:
    bucket = TokenBucket(BucketSize(refill_rate=200, capacity=600), now_ns=0)

    def take(tokens: int, now_ns: int) -> bool:
        bucket.refill(now_ns)
        return bucket.take(tokens)

    assert all(take(10, 0) for _ in range(60))
    assert not take(10, 49_999_999)
    assert take(10, 50_000_000)
    assert not take(1, 50_000_000)
    assert take(600, 60_000_000_000)
    assert not take(1, 60_000_000_000)


def test_basic_reads_sixty_at_once_and_then_twenty_a_second() -> None:
    sandbox = local_sandbox(SandboxOptions(markets=10, tier="basic"))
    statuses = [sandbox.get("/exchange/status").status_code for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    refused = sandbox.get("/markets")
    assert refused.content == b'{"error":"too many requests"}'
    assert "retry-after" not in refused.headers
    sandbox.pass_seconds(1)
    assert [sandbox.get("/markets").status_code for _ in range(21)] == [200] * 20 + [429]
    record = sandbox.steer("GET", "/requests")["endpoints"]["GET /markets"]
    assert (record["count"], record["rate_limited"], record["tokens_charged"]) == (22, 2, 200)


def test_each_key_has_a_bucket_of_its_own_and_anonymous_callers_share_one(
    ed_key: ed25519.Ed25519PrivateKey,
) -> None:
    sandbox = local_sandbox(SandboxOptions(markets=10, tier="basic", read_capacity=20, read_refill_rate=10))
    _register(sandbox, "ed", ed_key)
    assert [sandbox.get("/markets").status_code for _ in range(3)] == [200, 200, 429]
    headers = _headers(ed_key, "ed", _now_ms(sandbox), LIMITS)
    limits = sandbox.client.get(API + LIMITS, headers=headers).json()
    assert limits["read"] == {"bucket_capacity": 20, "refill_rate": 10}
    assert limits["write"] == {"bucket_capacity": 100, "refill_rate": 100}
    assert limits["usage_tier"] == "basic"


def test_an_endpoint_costs_the_tokens_of_its_table() -> None:
    options = SandboxOptions(markets=10, tier="basic", endpoint_costs={"GET /markets": 300})
    sandbox = local_sandbox(options)
    assert [sandbox.get("/markets").status_code for _ in range(3)] == [200, 200, 429]
    sandbox.pass_seconds(1)
    costs = sandbox.read("/account/endpoint_costs")
    assert costs["default_cost"] == 10
    assert {"method": "GET", "path": "/trade-api/v2/markets", "cost": 300} in costs["endpoint_costs"]
    paths = {entry["path"] for entry in costs["endpoint_costs"]}
    assert "/trade-api/v2/portfolio/events/orders/:order_id" in paths


def test_the_tiers_are_those_of_the_vendor() -> None:
    assert TIERS["basic"].read == BucketSize(200, 600)
    assert TIERS["basic"].write == BucketSize(100, 100)
    assert TIERS["advanced"].write == BucketSize(300, 900)
    assert TIERS["prestige"].read == BucketSize(12_000, 12_000)
    assert TIERS["prestige"].write == BucketSize(9_600, 28_800)


@pytest.fixture
def basic() -> Iterator[tuple[LocalSandbox, RequestSigner]]:
    sandbox = local_sandbox(SandboxOptions(markets=40, combos=0, tier="basic", crowd=False, warm=False))
    with sandbox.client:
        signer = RequestSigner("mine", now_ms=lambda: sandbox.time.microseconds // 1_000)
        _register(sandbox, "mine", signer.key)
        yield sandbox, signer


def _status(call: tuple[LocalSandbox, RequestSigner], method: str, path: str, body: object = None) -> int:
    sandbox, signer = call
    return sandbox.client.request(method, API + path, json=body, auth=signer).status_code


ORDERS = "/portfolio/events/orders"
NOWHERE = {
    "ticker": "NOSUCH", "side": "bid", "count": "1.00", "price": "0.0100", "time_in_force": "good_till_canceled",
    "self_trade_prevention_type": "taker_at_cross",
}  # fmt: skip


def test_the_balance_has_a_bucket_of_its_own_without_burst(basic: tuple[LocalSandbox, RequestSigner]) -> None:
    sandbox, _ = basic
    assert [_status(basic, "GET", "/portfolio/balance") for _ in range(3)] == [200, 429, 429]
    assert [_status(basic, "GET", "/account/limits") for _ in range(61)] == [200] * 60 + [429]
    sandbox.pass_seconds(60)
    assert [_status(basic, "GET", "/portfolio/balance") for _ in range(2)] == [200, 429]
    assert TIERS["advanced"].size("balance") == BucketSize(10, 10)
    assert TIERS["expert"].size("balance") == BucketSize(50, 50)


def test_writes_do_not_pay_from_the_read_budget_nor_reads_from_the_write_budget(
    basic: tuple[LocalSandbox, RequestSigner],
) -> None:
    assert [_status(basic, "POST", ORDERS, NOWHERE) for _ in range(11)].count(429) == 1
    assert _status(basic, "GET", "/portfolio/orders") == 200
    assert _status(basic, "POST", ORDERS, NOWHERE) == 429


def test_a_batch_pays_for_each_order_all_at_once_or_not_at_all(basic: tuple[LocalSandbox, RequestSigner]) -> None:
    sandbox, _ = basic
    assert _status(basic, "POST", ORDERS + "/batched", {"orders": [NOWHERE] * 11}) == 429
    assert _status(basic, "POST", ORDERS + "/batched", {"orders": [NOWHERE] * 10}) == 201
    assert _status(basic, "POST", ORDERS + "/batched", {"orders": [NOWHERE]}) == 429
    sandbox.pass_seconds(1)
    cancels = {"orders": [{"order_id": str(number), "market_ticker": "NOSUCH"} for number in range(50)]}
    assert _status(basic, "DELETE", ORDERS + "/batched", cancels) == 200
    assert _status(basic, "DELETE", ORDERS) == 429
    sandbox.pass_seconds(1)
    assert [_status(basic, "DELETE", ORDERS) for _ in range(51)] == [204] * 50 + [429]


def test_a_named_shard_pays_alone_and_routing_pays_everywhere(basic: tuple[LocalSandbox, RequestSigner]) -> None:
    sandbox, _ = basic
    on_two, on_zero = {**NOWHERE, "exchange_index": 2}, {**NOWHERE, "exchange_index": 0}
    assert [_status(basic, "POST", ORDERS, on_two) for _ in range(11)].count(429) == 1
    assert [_status(basic, "POST", ORDERS, on_zero) for _ in range(11)].count(429) == 1
    sandbox.pass_seconds(1)
    assert [_status(basic, "POST", ORDERS, on_two) for _ in range(10)].count(429) == 0
    # An order that is routed by its ticker needs tokens in the bucket of every shard. If one bucket is empty, no tokens
    # are taken.
    assert [_status(basic, "POST", ORDERS, routed) for routed in (NOWHERE, {**NOWHERE, "exchange_index": -1})] == [
        429
    ] * 2
    assert [_status(basic, "POST", ORDERS, on_zero) for _ in range(11)].count(429) == 1
    sandbox.pass_seconds(1)
    assert [_status(basic, "POST", ORDERS, NOWHERE) for _ in range(11)].count(429) == 1
    assert {_status(basic, "POST", ORDERS, {**NOWHERE, "exchange_index": shard}) for shard in range(4)} == {429}


@pytest.mark.parametrize(
    ("path", "extra"),
    [
        (ORDERS, {"exchange_index": None}),
        (ORDERS + "?exchange_index=1", {}),
        (ORDERS, {"exchange_index": 57}),
        (ORDERS, {"exchange_index": 1.5}),
        (ORDERS, {"exchange_index": True}),
    ],
)
def test_no_way_of_naming_a_shard_gets_round_the_budget_of_shard_zero(
    basic: tuple[LocalSandbox, RequestSigner], path: str, extra: dict[str, object]
) -> None:
    assert [_status(basic, "POST", ORDERS, {**NOWHERE, "exchange_index": 0}) for _ in range(10)].count(429) == 0
    assert _status(basic, "POST", path, {**NOWHERE, **extra}) == 429


def test_a_shard_that_is_null_was_not_named_and_routing_pays_everywhere(
    basic: tuple[LocalSandbox, RequestSigner],
) -> None:
    assert _status(basic, "POST", ORDERS, {**NOWHERE, "exchange_index": None}) == 400
    on_one = {**NOWHERE, "exchange_index": 1}
    assert [_status(basic, "POST", ORDERS, on_one) for _ in range(10)].count(429) == 1


def test_a_group_pays_on_the_shard_its_query_names(basic: tuple[LocalSandbox, RequestSigner]) -> None:
    limit = {"contracts_limit": 5}
    paths = ["/portfolio/order_groups/x/limit?exchange_index=1"] * 11 + ["/portfolio/order_groups/x/limit"]
    assert [_status(basic, "PUT", path, limit) for path in paths] == [404] * 10 + [429, 404]


def test_a_cancel_without_ticker_or_shard_pays_on_shard_zero(basic: tuple[LocalSandbox, RequestSigner]) -> None:
    assert [_status(basic, "DELETE", f"{ORDERS}/x") for _ in range(51)] == [404] * 50 + [429]
    assert _status(basic, "DELETE", f"{ORDERS}/x?exchange_index=1") == 404
    assert _status(basic, "DELETE", f"{ORDERS}/x?market_ticker=NOSUCH") == 429

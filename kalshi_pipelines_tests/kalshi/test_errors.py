import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.kalshi.errors import (
    ApiError,
    Forbidden,
    NotFound,
    RateLimited,
    Redirected,
    RequestLine,
    ServerError,
    Unauthorized,
    VendorError,
    api_error,
    parse_error_body,
)
from kalshi_pipelines_tests.support.kalshi.recordings import recording

words = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40)
parts = st.fixed_dictionaries({"code": words, "message": words}, optional={"details": words})


@given(parts)
def test_nested_error_bodies_give_code_message_and_details(said: dict[str, str]) -> None:
    assert parse_error_body(json.dumps({"error": said}).encode()) == VendorError(**said)


@given(parts)
def test_flat_error_bodies_give_code_message_and_details(said: dict[str, str]) -> None:
    assert parse_error_body(json.dumps(said).encode()) == VendorError(**said)


@given(words)
def test_msg_bodies_give_the_message(said: str) -> None:
    assert parse_error_body(json.dumps({"msg": said}).encode()) == VendorError(message=said)


@given(words)
def test_a_plain_error_text_gives_the_message(said: str) -> None:
    assert parse_error_body(json.dumps({"error": said}).encode()) == VendorError(message=said)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["error", "code", "msg", "message"]), inner),
)


@given(st.binary(max_size=2000) | json_values.map(lambda value: json.dumps(value).encode()))
def test_any_other_body_becomes_one_short_printable_line(body: bytes) -> None:
    vendor = parse_error_body(body)
    for said in (vendor.code, vendor.message, vendor.details):
        assert said is None or (said.isprintable() and 0 < len(said) <= 303)


def test_deeply_nested_error_body_becomes_a_short_text() -> None:
    assert parse_error_body(b"[" * 100_000).message


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "demo_2026_06/auth__bad_signature.json",
            VendorError("authentication_error", "authentication_error", "INCORRECT_API_KEY_SIGNATURE"),
        ),
        (
            "demo_2026_06/orders__numeric_field_types.json",
            VendorError(
                "bad_request",
                "bad request",
                "json: cannot unmarshal number into Go struct field CreateOrderV2Request.count of type string",
            ),
        ),
        ("derived_3_34_0/error_429.json", VendorError(message="too many requests")),
    ],
)
def test_recorded_error_bodies_are_parsed(name: str, expected: VendorError) -> None:
    assert parse_error_body(recording(name)) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Redirected),
        (400, ApiError),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (429, RateLimited),
        (500, ServerError),
        (503, ServerError),
    ],
)
def test_each_status_has_its_error_with_a_remedy(status: int, kind: type[ApiError]) -> None:
    error = api_error(RequestLine("/markets", (("limit", "5"),)), status, b'{"error":{"code":"x"}}', 1)
    assert type(error) is kind
    assert str(error) == f"GET /markets?limit=5 was answered {status} (x). {error.remedy}"


def test_a_code_matches_with_and_without_a_suffix() -> None:
    error = api_error(RequestLine("/x"), 404, b'{"error":{"code":"user_not_found:_1b2c"}}', 1)
    assert error.has_code("user_not_found")
    assert not error.has_code("user")


def test_error_can_be_pickled() -> None:
    error = api_error(RequestLine("/x"), 500, b"<html>\x00\x1b[31mbad gateway</html>", 5)
    copy: Any = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert str(copy) == str(error)
    assert "\x1b" not in str(error)
    assert copy.attempts == 5

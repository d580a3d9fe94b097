"""Canonical JSON: equal values have one text, and no other text counts as canonical."""

import json
import random
import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.canonical_json import LARGEST_INTEGER, NotCanonical, canonical_json, is_canonical

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20).map(
    lambda text: unicodedata.normalize("NFC", text)
)
integers = st.integers(-LARGEST_INTEGER, LARGEST_INTEGER)
keys = st.text(st.characters(max_codepoint=127), max_size=10)
values: st.SearchStrategy[Any] = st.recursive(
    st.booleans() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=15,
)
records = st.dictionaries(keys, values, max_size=6)


@given(records)
def test_canonical_json_equals_rfc_8785_byte_for_byte(record: dict[str, Any]) -> None:
    text = canonical_json(record)
    assert text.encode() == rfc8785.dumps(record)
    assert json.loads(text) == record
    assert is_canonical(text)


def test_value_that_is_nested_too_deeply_is_refused() -> None:
    value: Any = "the end"
    for _ in range(300):
        value = [value]
    with pytest.raises(NotCanonical, match="cannot be written as JSON"):
        canonical_json({"at": value})
    assert not is_canonical('{"at":' + "[" * 300 + "1" + "]" * 300 + "}")


@given(records, st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(record: dict[str, Any], order: random.Random) -> None:
    pairs = list(record.items())
    order.shuffle(pairs)
    assert canonical_json(dict(pairs)) == canonical_json(record)


@pytest.mark.parametrize(
    "value",
    [
        0.5,
        float("nan"),
        1.0,
        LARGEST_INTEGER + 1,
        -LARGEST_INTEGER - 1,
        "\ud800",
        b"bytes",
        {1},
        {"é": 1},
        {1: 2},
        [None],
    ],
)
def test_value_that_json_does_not_preserve_is_refused_at_any_depth(value: object) -> None:
    for record in ({"at": value}, {"at": {"some": value}}, {"at": {"some": [value]}}):
        with pytest.raises(NotCanonical):
            canonical_json(record)


@pytest.mark.parametrize("value", [LARGEST_INTEGER, -LARGEST_INTEGER])
def test_largest_exact_integers_are_accepted(value: int) -> None:
    assert canonical_json({"a": value, "b": [value]}) == f'{{"a":{value},"b":[{value}]}}'


def test_unknown_members_are_left_out() -> None:
    assert canonical_json({"b": None, "a": {"c": None}}) == '{"a":{}}'


def test_equal_letters_have_the_same_canonical_text() -> None:
    assert canonical_json({"name": "e\u0301"}) == canonical_json({"name": "é"}) == '{"name":"é"}'


@pytest.mark.parametrize(
    "text",
    ['{"b":1,"a":2}', '{"a": 1}', '{"a":1.0}', '{"a":1e3}', '{"a":null}', "[1]", '{"a":1}\n', '{"a":NaN}',
     '{"a":"\\u0041"}', '{"a":1,"a":1}', '{"a":"e\u0301"}', "", "{" * 10_000],
)  # fmt: skip
def test_other_texts_of_the_same_value_are_not_canonical(text: str) -> None:
    assert not is_canonical(text)

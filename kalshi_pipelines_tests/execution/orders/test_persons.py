"""One person has one name, in each spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_pipelines.execution.orders.persons import UnusableName, clean_name, is_same_person, person_name
from kalshi_pipelines.execution.orders.signal_text import is_normal


@pytest.mark.parametrize("name", ["", "  ", "\u200b", "ann\u200b", "an\u202en", "ann\x00", "a\nb", "a" * 201])
def test_name_that_nobody_can_read_is_refused_and_can_be_cleaned(name: str) -> None:
    with pytest.raises(UnusableName, match="cannot be used"):
        person_name(name)
    assert person_name(clean_name(name, "user")) in {"user", "ann", "a b", "a" * 200}


@pytest.mark.parametrize(
    "other", [" jos\u00e9", "jose\u0301", "JOS\u00c9", "jos\u00e9\u200b", "\uff4aos\u00e9", "jos\u00e9\n"]
)
def test_spellings_of_one_name_mean_one_person(other: str) -> None:
    assert is_same_person("jos\u00e9", other)
    assert not is_same_person("joseph", other)


@given(st.text(st.characters(), max_size=300))
def test_any_text_can_be_cleaned_to_a_name_of_the_same_person(text: str) -> None:
    name = clean_name(text, "user")
    assert is_normal(name)
    assert person_name(name) == name
    assert len(text) > 200 or is_same_person(name, text) or name == "user"

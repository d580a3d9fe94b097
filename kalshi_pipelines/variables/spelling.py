"""Rules for the names and values of our environment variables."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

_PREFIX: Final = "KALSHI_"
_OTHERS: Final = frozenset({"EXA_API_KEY"})
_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII)
_DECIMAL: Final = re.compile(r"-?[0-9]*\.?[0-9]+", re.ASCII)


@lru_cache(maxsize=4096)
def setting_of(name: str) -> str | None:
    """Return the setting that a person means by a variable's name, or None if it is no setting of this program.

    Case, white space at the ends and look-alike characters of Unicode are ignored.
    """
    meant = unicodedata.normalize("NFKC", name).strip().upper()
    return meant if meant.startswith(_PREFIX) or meant in _OTHERS else None


def name_problems(names: Iterable[str]) -> list[str]:
    """Return a sentence for each setting that is named twice or in a way in which it would not be read."""
    spellings: dict[str, list[str]] = defaultdict(list)
    for name in names:
        meant = setting_of(name)
        if meant is not None:
            spellings[meant].append(name)
    problems = []
    for meant, found in sorted(spellings.items()):
        if len(found) > 1:
            problems.append(f"{' and '.join(map(_shown, sorted(found)))} are the same setting.")
        elif found[0].upper() != meant or not found[0].isascii():
            problems.append(f"{_shown(found[0])} is not read; the setting's name is {meant}.")
    return problems


def value_problems(variables: Mapping[str, str]) -> list[str]:
    """Return a sentence for each setting whose value begins or ends with white space or an invisible character."""
    return [
        f"{_shown(name)} begins or ends with white space or an invisible character."
        for name, value in sorted(variables.items())
        if setting_of(name) is not None and has_invisible_ends(value)
    ]


def has_invisible_ends(text: str) -> bool:
    """Return whether a text begins or ends with white space, a control character or another invisible character."""
    return text != text.strip() or any(not sign.isprintable() for sign in (text[:1], text[-1:]) if sign)


def is_whole_number(text: str) -> bool:
    """Return whether a text is a whole number in plain digits. ``int`` would also accept 1_0, +5, ٣ and white space."""
    return _WHOLE.fullmatch(text) is not None


def is_decimal_number(text: str) -> bool:
    """Return whether a text is a number in plain digits. ``Decimal`` would also accept 1e1, 1_0, +5 and ٣."""
    return _DECIMAL.fullmatch(text) is not None


def _shown(name: str) -> str:
    return name if name.isascii() and name.isprintable() and name == name.strip() else repr(name)

"""The names of persons: their stored form, and whether two names mean the same person.

Some steps need a second person. One person must not count as two because of another spelling, or because of a character
that no screen shows.
"""

import unicodedata
from typing import Final

from kalshi_pipelines.errors import ExpectedError
from kalshi_pipelines.execution.orders.signal_text import is_visible, normalise

#: The largest number of characters in a person's name.
LONGEST_NAME: Final = 200


class UnusableName(ExpectedError):
    """A person's name is empty, too long, or has characters that no screen shows."""


def person_name(text: str) -> str:
    """Return a person's name in the form in which it is stored: Unicode's form NFC, without white space at its ends.

    Raises:
        UnusableName: The name is empty, too long, or has characters that no screen shows.
    """
    name = normalise(text)
    if not name or len(name) > LONGEST_NAME or not is_visible(name):
        raise UnusableName(
            f"The name {text[:LONGEST_NAME]!a} cannot be used.",
            f"Name the person with 1 to {LONGEST_NAME} characters that can be seen.",
        )
    return name


def clean_name(text: str, otherwise: str) -> str:
    """Return a usable name for a step that no name may prevent, such as a stop.

    Characters that no screen shows are left out, and a long name is shortened. ``otherwise`` replaces an empty name.
    """
    return _cleaned(text) or _cleaned(otherwise) or "not given"


def is_same_person(one: str, other: str) -> bool:
    """Return whether two names mean the same person.

    Upper and lower case, forms of one character, white space and invisible characters make no difference.
    """
    return _compared(one) == _compared(other)


def _cleaned(text: str) -> str:
    # Bytes of a terminal that are no text become question marks, so that readers see that something was there.
    readable = text.encode("utf-8", "replace").decode()
    plain = "".join(" " if each.isspace() else each for each in unicodedata.normalize("NFC", readable))
    return normalise("".join(each for each in plain if is_visible(each)))[:LONGEST_NAME].strip()


def _compared(name: str) -> str:
    readable = name.encode("utf-8", "replace").decode()
    visible = "".join(each for each in readable if is_visible(each) or each.isspace())
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", visible).casefold())
    return " ".join(folded.split())

"""Cleaning of untrusted text: removal of markup and of control, bidirectional and invisible characters, and cutting.

Every text of an article is cleaned here before other code reads it. Time and memory grow linearly with the length of
the text. Text much longer than the length to keep is cut before it is cleaned.
"""

import html
import re
import unicodedata
from functools import lru_cache
from typing import Final

#: The ratio of text read to text kept. More text is read than kept because markup takes room.
_MARKUP_FACTOR: Final = 8
_LEAST_READ: Final = 4_096
_MOST_UNPACKING: Final = 3
_TAG: Final = re.compile(r"</?[A-Za-z]|<[!?]")
_TAG_NAME: Final = re.compile(r"</?([A-Za-z][A-Za-z0-9]*)")
_COULD_BE_TAG: Final = re.compile(r"<(?=[A-Za-z!/?])")
#: HTML elements whose content is not text for readers.
_UNREAD: Final = frozenset({"script", "style", "noscript", "template", "iframe", "object", "svg", "math", "head"})
_INLINE: Final = frozenset(
    {"a", "abbr", "b", "bdi", "bdo", "cite", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub"}
    | {"sup", "u", "wbr"}
)
_NOT_ASCII: Final = re.compile(r"[^\x20-\x7e]")
_MARKS: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_TOO_MANY_MARKS: Final = re.compile(f"({_MARKS}{{2}}){_MARKS}+")
_BLANK: Final = frozenset({"Cc", "Zl", "Zp", "Zs"})
_DROPPED: Final = frozenset({"Cf", "Cs", "Co", "Cn"})


def plain_text(text: str, most: int, read: int = 0) -> str:
    """Return the visible text on one line, at most ``most`` characters long, without markup.

    Feeds escape their markup once or twice. So markup is removed and the rest is unescaped again and again, until the
    text stays the same, but at most three times. A remaining ``<`` that could begin a tag is replaced. Only the
    beginning of the text is cleaned: the largest of 8 * ``most``, 4,096 and ``read`` characters.
    """
    text = text[: max(most * _MARKUP_FACTOR, _LEAST_READ, read)]
    for _ in range(_MOST_UNPACKING):
        unpack = html.unescape(_without_markup(text))
        if unpack == text:
            break
        text = unpack
    text = _COULD_BE_TAG.sub("\u2039", _without_markup(text))
    return shorten(strip_invisible(text), most)


def strip_invisible(text: str) -> str:
    """Return text on one line without control, bidirectional and invisible characters or stacks of combining marks."""
    text = _NOT_ASCII.sub(_visible, text)
    return " ".join(_TOO_MANY_MARKS.sub(r"\1", unicodedata.normalize("NFC", text)).split())


def shorten(text: str, most: int) -> str:
    """Return text cut to at most ``most`` characters, at a space if the last 40 characters have one."""
    if len(text) <= most:
        return text
    if most < 2:
        return text[:most]
    cut = text[: most - 1]
    blank = cut.rfind(" ", len(cut) - 40 if len(cut) > 40 else 0)
    return f"{cut[:blank] if blank > 0 else cut}…"


@lru_cache(maxsize=16_384)
def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in _DROPPED:
        return ""
    return " " if category in _BLANK else character


def _visible(found: re.Match[str]) -> str:
    return _shown(found[0])


def _without_markup(text: str) -> str:
    """Return the text outside tags and comments. A tag or comment without an end removes the rest of the text."""
    if "<" not in text:
        return text
    parts: list[str] = []
    position = 0
    lower = text.lower() if text.isascii() else _lower(text)
    while (found := _TAG.search(text, position)) is not None:
        start = found.start()
        parts.append(text[position:start])
        name, end = _tag_at(text, lower, start)
        if end < 0:
            return "".join(parts)
        if name not in _INLINE:
            parts.append(" ")
        position = end
    parts.append(text[position:])
    return "".join(parts)


def _tag_at(text: str, lower: str, start: int) -> tuple[str, int]:
    """Return the name of the tag at a position, and the position after the end of the tag or comment.

    For an element whose content is not for readers, such as a script, the position is after the whole element. The
    position is -1 if there is no end.
    """
    if text.startswith("<!--", start):
        end = text.find("-->", start + 4)
        return "", end + 3 if end >= 0 else -1
    end = text.find(">", start)
    if end < 0:
        return "", -1
    named = _TAG_NAME.match(lower, start)
    name = named[1] if named else ""
    if name in _UNREAD and lower[start + 1] != "/":
        closing = lower.find(f"</{name}", end)
        end = lower.find(">", closing) if closing >= 0 else -1
    return name, end + 1 if end >= 0 else -1


def _lower(text: str) -> str:
    """Return text with ASCII capitals in lower case. `str.lower` may change the length of other text."""
    return text.translate(_ASCII_CAPITALS)


_ASCII_CAPITALS: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}

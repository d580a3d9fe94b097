"""Text that may be sent to people: bounded in length, without secrets, and without markup that a channel would act on.

Text from a vendor is untrusted. It stays readable for a person, but no channel takes it for markup, a mention or a
control character.
"""

import re
import unicodedata
from typing import Final

_HIDDEN: Final = "[hidden]"
_NAMES: Final = (
    r"(?:kalshi-access-(?:key|signature)|x-api-key|api[-_ ]?key(?:[-_ ]?id)?|access[-_ ]?key|private[-_ ]?key|"
    r"authorization|cookie|set-cookie|credentials?|secret|client[-_ ]?secret|signature|passw(?:or)?d|passphrase|"
    r"[a-z]*[-_]?token|(?<=[?&])(?:key|sig|auth|code))"
)
#: Patterns of secrets, each with the text that is shown in its place. The widest patterns must come first.
_SECRETS: Final = (
    (re.compile(r"-----BEGIN [A-Z0-9 ]+-----.*?(?:-----END [A-Z0-9 ]+-----|\Z)", re.DOTALL), _HIDDEN),
    (re.compile(r"\b([a-z][a-z0-9+.-]{0,30}://)[^\s/?#@\"'<>]*(?:[^\s\"'<>?#]*)@", re.IGNORECASE), rf"\1{_HIDDEN}@"),
    (re.compile(r"(hooks\.slack\.com|discord(?:app)?\.com/api/webhooks)/[^\s\"'<>]*", re.IGNORECASE), rf"\1/{_HIDDEN}"),
    (re.compile(r"\beyJ[\w-]{5,}\.[\w-]+(?:\.[\w-]*)?"), _HIDDEN),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{6,}", re.IGNORECASE), rf"\1 {_HIDDEN}"),
    (
        re.compile(
            rf"({_NAMES}[\"']?\s*(?:[:=]|%3d)+\s*)(?!\[hidden\])(\"[^\"]*\"?|'[^']*'?|[^\s,;&}}\]\"']+)", re.IGNORECASE
        ),
        rf"\1{_HIDDEN}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|xox[abeoprs]|gh[oprsu]|github_pat|AKIA|AIza|glpat)[-_A-Za-z0-9]{12,}"), _HIDDEN),
    (re.compile(r"[\w.%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+"), _HIDDEN),
    (re.compile(r"\b(?=\w*\d)(?=\w*[a-z])\w{40,}={0,2}"), _HIDDEN),
    (re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"), _HIDDEN),
)
#: Pattern of long words. Such a word may be the Base64 text of a key or signature, or just the path of an address.
_LONG: Final = re.compile(r"[\w+/-]{32,}={0,2}")
#: Characters with a meaning in the markup of Slack, Discord, Telegram or mail programs, and the harmless look-alikes
#: that replace them.
_LOOK_ALIKES: Final = str.maketrans(
    {
        "<": "‹",
        ">": "›",
        "@": "＠",
        "&": "＆",
        "*": "∗",
        "`": "ˋ",
        "~": "∼",
        "|": "¦",
        "\\": "⧵",
        "#": "＃",
        "!": "ǃ",
    }
)
_MARKDOWN_LINK: Final = re.compile(r"\]\s*\(")
_LINK: Final = re.compile(r"(?i)\b(https?|ftp|mailto|tg|slack|data|javascript):")
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def scrubbed(text: str, most: int = 300) -> str:
    """Return text without secrets, at most ``most`` characters long.

    Very long text is cut before secrets are searched, so that the search takes a limited time.
    """
    text = text[: most * 4 + 1_000]
    for pattern, shown in _SECRETS:
        text = pattern.sub(shown, text)
    return shortened(_LONG.sub(_without_base64, text), most)


def _without_base64(found: re.Match[str]) -> str:
    """Return a long word unchanged, or a placeholder if a part of the word between slashes looks like Base64.

    A part of Base64 text mixes small letters, capitals and digits. A part of a ticker or path does not.
    """
    for part in found[0].split("/"):
        if len(part) >= 16 and all(re.search(letters, part) for letters in ("[a-z]", "[A-Z]", "[0-9]")):
            return _HIDDEN
    return found[0]


def neutral(text: str, most: int = 300) -> str:
    """Return a vendor's text as one harmless line: no secrets, no markup, no control or invisible characters."""
    text = scrubbed(visible(text[: most * 4 + 1_000]), most * 2)
    text = _MARKDOWN_LINK.sub("] (", _LINK.sub(r"\1 :", text)).translate(_LOOK_ALIKES)
    return shortened(text, most)


def visible(text: str) -> str:
    """Return text on one line. Control, bidirectional, joining and unassigned characters become blanks."""
    return " ".join("".join(" " if unicodedata.category(letter) in _INVISIBLE else letter for letter in text).split())


def shortened(text: str, most: int) -> str:
    """Return text cut to at most ``most`` characters, with an ellipsis if something was cut."""
    return text if len(text) <= most else f"{text[: max(most - 1, 0)]}…"

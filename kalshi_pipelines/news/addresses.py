"""Validation and canonical form of article addresses, without network access.

The module ``fetching`` decides which hosts may be contacted.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from kalshi_pipelines.errors import ExpectedError

MOST_ADDRESS: Final = 2_000
_TRACKING: Final = re.compile(
    r"(utm_|mtm_|pk_|piwik_|hsa_|ns_|at_|mc_|vero_|oly_|_hs|wt\.|icid|ito$|cmp$|cmpid$|cmp_|ncid$|xtor$|s_cid$|"
    r"fbclid$|gclid$|gclsrc$|gbraid$|wbraid$|dclid$|msclkid$|igshid$|igsh$|yclid$|twclid$|ttclid$|li_fat_id$|"
    r"mkt_tok$|ref$|ref_src$|ref_url$|referrer$|source$|sref$|smid$|smtyp$|sh$|share$|sharetype$|sharetoken$|partner$|"
    r"guccounter$|guce_|spm$|soc_src$|soc_trk$|cvid$|ocid$|taid$|feature$|campaign$|mod$|rss$|feed$)",
    re.IGNORECASE,
)
_AMP_PARAMETERS: Final = frozenset({"amp", "outputtype", "_amp", "amp_js_v", "amp_gsa", "usqp"})
_MOBILE: Final = ("www.", "m.", "mobile.", "amp.", "touch.", "wap.")
_AMP_PATH: Final = re.compile(r"([/.]amp(/index\.html?)?/?$|\.amp(?=\.html?$))", re.IGNORECASE)
_INDEX: Final = re.compile(r"/index\.(html?|php|aspx?)$", re.IGNORECASE)
_ESCAPED: Final = re.compile(r"%[0-9A-Fa-f]{2}")
_IN_PATHS: Final = "/%:@!$&'()*+,;=~-._"
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_FORBIDDEN_CHARACTERS: Final = re.compile(
    r"[\x00-\x20\x7f-\xa0\u00ad\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff\ud800-\udfff\"<>\\^`{|}]"
)
_PRIVATE_ENDS: Final = (".local", ".localhost", ".internal", ".lan", ".home", ".corp", ".intranet", ".onion", ".arpa")
_GOOGLE_AMP: Final = re.compile(r"^/amp/(?:s/)?(.+)$")
_AMP_CACHE: Final = re.compile(r"^/[cvw]/(?:s/)?(.+)$")
_PORTS: Final = {"http": 80, "https": 443}


class InvalidAddress(ExpectedError, ValueError):
    """An address that cannot belong to a public page. The message gives the reason without quoting the address."""


def canonical_address(address: str) -> tuple[str, str]:
    """Return the canonical address of an article, and the host name of the article's site.

    Addresses of the same article share one canonical address. The addresses may differ in the scheme, capitals of the
    host, default ports, fragments and tracking parameters. The order of parameters may differ, too, and an address may
    be the variant for phones or for AMP.

    A canonical address has no ``www.``. It serves as a key and may not work as a link. The table
    ``news_article_sources`` keeps the address as received.

    Raises:
        InvalidAddress: The address is not an ``http`` or ``https`` address of a public host.
    """
    address = address.strip()
    if len(address) > MOST_ADDRESS:
        raise InvalidAddress(f"The address has {len(address):,} characters, more than {MOST_ADDRESS:,}.")
    if not address or _FORBIDDEN_CHARACTERS.search(address):
        raise InvalidAddress("The address is empty or has forbidden characters.")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise InvalidAddress("The address is malformed.") from None
    if parts.scheme not in _PORTS:
        raise InvalidAddress("The address is not http or https.")
    if parts.username is not None or parts.password is not None:
        raise InvalidAddress("The address has a user or password.")
    site = public_host(host or "")
    packed = _inside_amp(site, parts.path)
    if packed is not None:
        return canonical_address(packed + (f"?{parts.query}" if parts.query else ""))
    path = _path(parts.path)
    site = _without_prefix(site)
    shown_port = "" if port in (None, _PORTS[parts.scheme]) else f":{port}"
    query = _query(parts.query)
    return f"https://{site}{shown_port}{path}" + (f"?{query}" if query else ""), site


def public_host(host: str) -> str:
    """Return the host in lower-case ASCII.

    Raises:
        InvalidAddress: The host cannot be on the public internet.
    """
    host = host.rstrip(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode()
        except UnicodeError:
            raise InvalidAddress("The host of the address cannot be written in ASCII.") from None
    if _is_ip(host):
        if not ipaddress.ip_address(host).is_global:
            raise InvalidAddress("The address is in a private or special network.")
        return f"[{host}]" if ":" in host else host
    if not re.fullmatch(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]", host):
        raise InvalidAddress("The host of the address is not on the public internet.")
    if host.endswith(_PRIVATE_ENDS):
        raise InvalidAddress("The address is in a private network.")
    return host


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _inside_amp(host: str, path: str) -> str | None:
    """Return the original address of a page in an AMP cache; None for any other page."""
    found = None
    if host in ("google.com", "www.google.com"):
        found = _GOOGLE_AMP.match(path)
    elif host.endswith(".cdn.ampproject.org"):
        found = _AMP_CACHE.match(path)
    return None if found is None else f"https://{unquote(found[1])}"


def _without_prefix(host: str) -> str:
    for prefix in _MOBILE:
        if host.startswith(prefix) and host.count(".") >= 2:
            return host.removeprefix(prefix)
    return host


def _path(path: str) -> str:
    path = quote(_ESCAPED.sub(_unescape, path), safe=_IN_PATHS)
    if path[:5].lower() == "/amp/" and len(path) > 5:
        path = path[4:]
    path = _AMP_PATH.sub("", path)
    path = _INDEX.sub("", path)
    return path.rstrip("/")


def _unescape(found: re.Match[str]) -> str:
    letter = chr(int(found[0][1:], 16))
    return letter if letter in _UNRESERVED else found[0].upper()


def _query(query: str) -> str:
    if not query:
        return ""
    pairs = parse_qsl(query[:MOST_ADDRESS], keep_blank_values=True, max_num_fields=None)
    kept = [pair for pair in pairs if not _TRACKING.match(pair[0]) and pair[0].lower() not in _AMP_PARAMETERS]
    return urlencode(sorted(kept))

"""Response bodies that a hostile or broken server could send."""

from kalshi_pipelines.contracts.comparison.body_decoding import MOST_BYTES
from kalshi_pipelines.contracts.language.responses import Response, VendorRequest

AT = 1_795_348_800_000_000
MANY_KEYS = b"{" + b",".join(b'"k%d":1' % number for number in range(1_000_000)) + b"}"
HOSTILE = {
    "a text of 10 MB": b'{"markets":[{"title":"' + b"x" * 10_000_000 + b'"}],"cursor":""}',
    "deep arrays": b"[" * 100_000 + b"]" * 100_000,
    "deep objects": b'{"a":' * 500 + b"1" + b"}" * 500,
    "a little too deep": b'{"a":' * 45 + b"1" + b"}" * 45,
    "not a number": b'{"markets":[{"floor_strike":NaN}],"cursor":""}',
    "infinity": b'{"markets":[{"floor_strike":Infinity}],"cursor":""}',
    "too large a number": b'{"markets":[{"floor_strike":1e400}],"cursor":""}',
    "a number of many digits": b'{"markets":[{"floor_strike":' + b"9" * 5_000 + b'}],"cursor":""}',
    "latin 1": '{"markets":[{"title":"Málaga"}],"cursor":""}'.encode("latin-1"),
    "utf 16": '{"markets":[],"cursor":""}'.encode("utf-16"),
    "a lone surrogate": b'{"markets":[{"title":"\\ud800"}],"cursor":""}',
    "a key twice": b'{"markets":[],"cursor":"","cursor":"next"}',
    "a key twice, with spaces": b'{"markets" : [], "cursor" : "", "cursor" : "next"}',
    "a million keys": MANY_KEYS,
    "ten million values": b'{"markets":[' + b"1," * 10_000_000 + b'1],"cursor":""}',
    "beyond all size": b" " * (MOST_BYTES + 1),
    "a page of a gateway": b"<html><body>502 Bad Gateway</body></html>",
    "nothing": b"",
    "half of it": b'{"markets":[{"ticker":"KX',
}  # fmt: skip


def hostile_response(body: bytes) -> Response:
    """Return a response to GET /markets with this body."""
    return Response(
        VendorRequest("GET /markets"), 200, {}, body, AT, "http://127.0.0.1/trade-api/v2/markets", "sandbox"
    )

"""Hostile response bodies, which harm a program that reads without limits.

The sandbox produces a hostile body in small pieces, so that the sandbox itself needs little memory.

Belongs here: the kinds of hostile bodies. Does not belong here: choosing the requests that get a hostile body
(``drift``).
"""

import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Final

from starlette.concurrency import iterate_in_threadpool
from starlette.responses import Response, StreamingResponse

_PIECE: Final = 64 * 1024
_AS_GZIP: Final = 16 + zlib.MAX_WBITS

Pieces = Iterator[bytes]


def hostile_response(kind: str, body: bytes, size: int | None = None) -> Response:
    """Return a response with a hostile body. ``body`` is the endpoint's own JSON object.

    ``size`` is the size of the body in bytes (``long_string``, ``gzip_bomb``) or in levels of nesting
    (``deep_nesting``).
    """
    make, usual_size = HOSTILE_BODIES[kind]
    headers = {"Content-Encoding": "gzip"} if kind == "gzip_bomb" else {}
    return StreamingResponse(_in_turns(make(body, size or usual_size)), media_type="application/json", headers=headers)


async def _in_turns(pieces: Pieces) -> AsyncIterator[bytes]:
    """Produce the pieces of a hostile body in a thread, so that other requests are served meanwhile.

    An endless body ends when the client disconnects.
    """
    async for piece in iterate_in_threadpool(pieces):
        yield piece


def _repeated(byte: bytes, times: int) -> Pieces:
    piece = byte * _PIECE
    for _ in range(times // _PIECE):
        yield piece
    yield byte * (times % _PIECE)


def _with_member(body: bytes, value: Callable[[], Pieces]) -> Pieces:
    """Return a JSON body with one more member in front of its other members."""
    yield b'{"note":'
    yield from value()
    rest = body.strip()[1:]
    yield rest if rest == b"}" else b"," + rest


def _long_string(body: bytes, size: int) -> Pieces:
    def value() -> Pieces:
        yield b'"'
        yield from _repeated(b"A", size)
        yield b'"'

    return _with_member(body, value)


def _deep_nesting(body: bytes, size: int) -> Pieces:
    def value() -> Pieces:
        yield from _repeated(b"[", size)
        yield from _repeated(b"]", size)

    return _with_member(body, value)


def _not_a_number(body: bytes, _: int) -> Pieces:
    return _with_member(body, lambda: iter((b"[NaN,Infinity,-Infinity,1e999]",)))


def _invalid_utf8(body: bytes, _: int) -> Pieces:
    return _with_member(body, lambda: iter((b'"\xff\xfe\xc0\x80"',)))


def _utf16(body: bytes, _: int) -> Pieces:
    yield body.decode().encode("utf-16")


def _duplicate_keys(body: bytes, _: int) -> Pieces:
    rest = body.strip()[1:]
    yield b'{"cursor":"AAAA","cursor":"BBBB"' + (rest if rest == b"}" else b"," + rest)


def _gzip_bomb(_: bytes, size: int) -> Pieces:
    compress = zlib.compressobj(9, zlib.DEFLATED, _AS_GZIP)
    for piece in _repeated(b" ", size):
        if packed := compress.compress(piece):
            yield packed
    yield compress.flush()


def _endless(_: bytes, __: int) -> Pieces:
    yield b'{"note":"'
    piece = b"A" * _PIECE
    while True:
        yield piece


HOSTILE_BODIES: Final[Mapping[str, tuple[Callable[[bytes, int], Pieces], int]]] = {
    "long_string": (_long_string, 10_000_000),
    "deep_nesting": (_deep_nesting, 100_000),
    "not_a_number": (_not_a_number, 1),
    "invalid_utf8": (_invalid_utf8, 1),
    "utf16": (_utf16, 1),
    "duplicate_keys": (_duplicate_keys, 1),
    "gzip_bomb": (_gzip_bomb, 1 << 30),
    "endless": (_endless, 1),
}
"""Kinds of hostile bodies, each with its generator and its default size."""

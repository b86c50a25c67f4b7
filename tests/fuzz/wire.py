"""Changes of the bytes themselves: what no HTTP client sends, requests that end in two places, and cut ones.

Source: RFC 9112 sections 2.2, 5.2, 6.3 and 7.1, and known ways of smuggling one request in another.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Final

from tests.fuzz.message import Change, Message

Bytes = Callable[[bytes], bytes]
SMUGGLED: Final = b"DELETE /v2/smuggled/app/manifests/1.0.0 HTTP/1.1\r\nHost: x\r\n\r\n"


def _header(line: bytes, data: bytes) -> bytes:
    head, mark, body = data.partition(b"\r\n")
    return head + b"\r\n" + line + mark + body


def _cut(share: float, data: bytes) -> bytes:
    return data[: int(len(data) * share)]


def _appended(more: bytes, data: bytes) -> bytes:
    return data + more


def _replaced(old: bytes, new: bytes, data: bytes) -> bytes:
    return data.replace(old, new, 1)


def _body(body: bytes, line: bytes, data: bytes) -> bytes:
    """Another body, announced by `line`."""
    head = data.partition(b"\r\n\r\n")[0]
    kept = [each for each in head.split(b"\r\n") if not each.lower().startswith((b"content-length", b"transfer-enc"))]
    return b"\r\n".join((*kept, line, b"", body))


CHUNKED: Final = b"Transfer-Encoding: chunked"
ENDS: Final = (
    partial(_body, b"0\r\n\r\n" + SMUGGLED, CHUNKED + b"\r\nContent-Length: 6"),
    partial(_body, b"5\r\nabcde\r\n0\r\n\r\n", b"Content-Length: 4\r\n" + CHUNKED),
    partial(_body, b"0\r\n\r\n" + SMUGGLED, b"Transfer-Encoding : chunked\r\nContent-Length: 5"),
    partial(_body, b"0\r\n\r\n", b"Transfer-Encoding: xchunked"),
    partial(_body, b"0\r\n\r\n", b"Transfer-Encoding: chunked, identity"),
    partial(_body, b"0\r\n\r\n", b"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
    partial(_body, b"0\r\n\r\n", b"Transfer-Encoding:\x0bchunked"),
    partial(_body, b"0\r\n\r\n", b"Transfer-Encoding\r\n : chunked"),
    partial(_body, b"0\r\n\r\n", b"X: y\r\n Transfer-Encoding: chunked"),
    partial(_body, b"abcdef", b"Content-Length: 6\r\nContent-Length: 3"),
    partial(_body, b"abcdef", b"Content-Length: 3, 6"),
    partial(_body, b"abcdef", b"Content-Length: +6"),
    partial(_body, b"abcdef", b"Content-Length: 0x6"),
    partial(_body, b"abcdef", b"Content-Length: -6"),
    partial(_body, b"abcdef", b"Content-Length: 6 6"),
    partial(_body, b"abcdef", b"Content-Length: " + b"9" * 300),
    partial(_body, b"abcdef", b"Content-Length: 18446744073709551617"),
    partial(_body, b"abcdef", b"Content-Length:"),
    partial(_body, b"abc", b"Content-Length: 600"),
    partial(_body, b"abc", b"Content-Length: 600000000"),
    partial(_body, b"5;ext=" + b"x" * 20_000 + b"\r\nabcde\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b'5;a="\r\nabcde\r\n0\r\n\r\n', CHUNKED),
    partial(_body, b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"7fffffffffffffff\r\nabc\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"0" * 3000 + b"3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"-3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"0x3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"3\nabc\n0\n\n", CHUNKED),
    partial(_body, b"3\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    partial(_body, b"3\r\nabc0\r\n\r\n", CHUNKED),
    partial(_body, b"\r\n\r\n", CHUNKED),
    partial(_body, b"3\r\nabc\r\n0\r\nX-Trailer: y\r\nHost: evil\r\n\r\n", CHUNKED),
    partial(_body, b"3\r\nabc\r\n0\r\n" + b"X: y\r\n" * 3000 + b"\r\n", CHUNKED),
    partial(_body, b"1\r\na\r\n" * 3000 + b"0\r\n\r\n", CHUNKED),
    partial(_body, b"3\r\nab", CHUNKED),
)
"""Bodies that end at another place than somebody between client and server may think, or nowhere."""

HEADS: Final = (
    partial(_header, b" folded: yes"),
    partial(_header, b"X-Folded: a\r\n b\r\n\tc"),
    partial(_header, b"no colon"),
    partial(_header, b": no name"),
    partial(_header, b"bad name: x"),
    partial(_header, b"X\x00Y: z"),
    partial(_header, b"X-Nul: a\x00b"),
    partial(_header, b"X-Cr: a\rb"),
    partial(_header, b"X-Lf: a\nX-Injected: yes"),
    partial(_header, b"X-High: \xff\xfe"),
    partial(_header, b"Host: second.example"),
    partial(_replaced, b"HTTP/1.1", b"HTTP/1.0"),
    partial(_replaced, b"HTTP/1.1", b"HTTP/0.9"),
    partial(_replaced, b"HTTP/1.1", b"HTTP/2.0"),
    partial(_replaced, b"HTTP/1.1", b"HTTP/1.10"),
    partial(_replaced, b"HTTP/1.1", b"http/1.1"),
    partial(_replaced, b" HTTP/1.1", b""),
    partial(_replaced, b" HTTP/1.1", b"\tHTTP/1.1"),
    partial(_replaced, b" HTTP/1.1", b" x HTTP/1.1"),
    partial(_replaced, b" ", b"  "),
    partial(_replaced, b" ", b"\x00"),
    lambda data: data.replace(b"\r\n", b"\n"),
    lambda data: data.replace(b"\r\n", b"\r"),
    lambda data: b"\r\n\r\n" + data,
    lambda data: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + data[:200],
    lambda data: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(100),
    lambda data: b"\x00" * 2000,
    lambda data: b"GET " + b"/" * 100_000 + b" HTTP/1.1\r\n\r\n",
    lambda data: b"x" * 100_000,
)
PIPELINED: Final = (
    lambda data: data * 3,
    lambda data: data + SMUGGLED,
    lambda data: data + b"junk",
    lambda data: b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n" * 30 + data,
)


def ending(random: Random, message: Message) -> Message:
    return _with(message, random.choice(ENDS))


def head(random: Random, message: Message) -> Message:
    return _with(message, random.choice(HEADS))


def pipelined(random: Random, message: Message) -> Message:
    return _with(message, random.choice(PIPELINED))


def cut(random: Random, message: Message) -> Message:
    """The client is gone in the middle."""
    return _with(message, partial(_cut, random.random()))


def _with(message: Message, change: Bytes) -> Message:
    return replace(message, wire=(*message.wire, change))


CHANGES: Final[Sequence[Change]] = (ending, ending, ending, head, head, pipelined, cut, cut)

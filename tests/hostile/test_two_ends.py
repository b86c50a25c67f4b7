"""Requests that somebody between client and server may take for another one: refused, or of one meaning.

Source: RFC 9112 sections 5.1, 5.2, 6.1 and 6.3; what a proxy in front of a registry lets pass.
"""

import re
import socket

import pytest
from tests.fuzz.wire import ENDS, HEADS
from tests.protocols.cnr.server import Server

TARGET = b"POST /v2/ends/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
READ = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"


def statuses(server: Server, data: bytes) -> list[int]:
    """Of all answers, until the server ends the connection or has nothing more to say."""
    found = bytearray()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            while piece := connection.recv(65536):
                found += piece
        except ConnectionError:
            pass
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found)]


def body(text: bytes, *lines: bytes) -> bytes:
    return b"\r\n".join((b"POST /v2/ends/app/blobs/uploads/ HTTP/1.1", b"Host: x", *lines, b"", text))


CHUNKED = b"Transfer-Encoding: chunked"
AMBIGUOUS = {
    "both lengths": body(b"0\r\n\r\n" + READ, CHUNKED, b"Content-Length: 6"),
    "both lengths, the other way": body(b"5\r\nabcde\r\n0\r\n\r\n", b"Content-Length: 4", CHUNKED),
    "two lengths": body(b"abcdef", b"Content-Length: 6", b"Content-Length: 3"),
    "a list of lengths": body(b"abcdef", b"Content-Length: 3, 6"),
    "a signed length": body(b"abcdef", b"Content-Length: +6"),
    "a hexadecimal length": body(b"abcdef", b"Content-Length: 0x6"),
    "a length beyond 64 bits": body(b"abcdef", b"Content-Length: 18446744073709551622"),
    "an empty length": body(b"abcdef", b"Content-Length:"),
    "a space before the colon": body(b"0\r\n\r\n" + READ, b"Transfer-Encoding : chunked"),
    "an unknown coding": body(b"0\r\n\r\n", b"Transfer-Encoding: xchunked"),
    "chunked is not the last coding": body(b"0\r\n\r\n", b"Transfer-Encoding: chunked, identity"),
    "a vertical tab": body(b"0\r\n\r\n", b"Transfer-Encoding:\x0bchunked"),
    "a folded header": body(b"0\r\n\r\n", b"X: y", b" Transfer-Encoding: chunked"),
    "a chunk of minus three": body(b"-3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    "a chunk of 0x3": body(b"0x3\r\nabc\r\n0\r\n\r\n", CHUNKED),
    "a chunk beyond 64 bits": body(b"FFFFFFFFFFFFFFFFF\r\nabc\r\n0\r\n\r\n", CHUNKED),
    "a chunk that is longer": body(b"3\r\nabcd\r\n0\r\n\r\n", CHUNKED),
    "bare line feeds": body(b"3\nabc\n0\n\n", CHUNKED),
    "a head of bare line feeds": TARGET.replace(b"\r\n", b"\n"),
    "a line feed in a value": body(b"", b"X: a\nContent-Length: 5"),
    "a carriage return in a value": body(b"", b"X: a\rb"),
    "a NUL in a name": body(b"", b"X\x00Y: z"),
    "a line without a colon": body(b"", b"nothing"),
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_a_request_has_one_end(server: Server, data: bytes) -> None:
    """400, and what comes behind it on the connection is not read as a request."""
    assert statuses(server, data + READ) == [400]


@pytest.mark.parametrize("number", range(len(ENDS) + len(HEADS)))
def test_nothing_is_smuggled(server: Server, number: int) -> None:
    """Whatever the fuzz does to a request: one that was refused is the last on its connection, and none is a 5xx."""
    found = statuses(server, (*ENDS, *HEADS)[number](TARGET))
    assert all(status < 500 for status in found)
    assert len(found) <= 2
    assert 400 not in found[:-1]

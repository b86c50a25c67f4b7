"""What the client says of servers that misbehave, and what it sends them."""

import gzip
import io
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from cnr.client.cnr import CnrClient
from cnr.client.errors import (
    BadAnswer,
    ClientError,
    Damaged,
    Exists,
    NotAllowed,
    NotFound,
    Refusal,
    Unreachable,
)
from cnr.client.reference import RegistryAddress
from cnr.client.transport import Connection
from cnr.domain.digest import TarDigest
from cnr.domain.names import PackageName

TLS_HANDSHAKE = b"\x16"


class Peer:
    """Listens on a free port of 127.0.0.1; each connection gets the next of `answers` (the last one again and again).

    `requests` are the heads that came. An answer is sent as soon as a head is there, and then the connection is closed.
    """

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.requests: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and head[:1] != TLS_HANDSHAKE and (piece := connection.recv(65536)):
            head += piece
        if head:
            self.requests.append(head)
            index = min(len(self.requests), len(self._answers)) - 1
            connection.sendall(self._answers[index])


def answer(body: bytes, *, status: str = "200 OK", kind: str = "application/json", length: int | None = None) -> bytes:
    """An HTTP answer; `length` is what it claims to have."""
    size = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    """Starts a Peer with the given answers."""
    with ExitStack() as stack:

        def start(*answers: bytes) -> Peer:
            started = Peer(list(answers))
            stack.callback(started.close)
            return started

        yield start


@pytest.fixture
def client_of() -> Iterator[Callable[..., CnrClient]]:
    """A client for a port of this machine."""
    with ExitStack() as stack:

        def connect(port: int, *, scheme: str = "http", **options: object) -> CnrClient:
            address = RegistryAddress(scheme, "127.0.0.1", port)
            return stack.enter_context(CnrClient(Connection(address, **options)))  # type: ignore[arg-type]

        yield connect


PACKAGE = PackageName("ns", "app")
DIGEST = TarDigest("0" * 64)
PeerMaker = Callable[..., Peer]
ClientMaker = Callable[..., CnrClient]


def error(code: str, message: str, **details: object) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "details": details}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "sentence"),
    [
        ("404 Not Found", error("package-not-found", "no such package"), NotFound, "no such package"),
        ("409 Conflict", error("package-exists", "it exists", package="a/b"), Exists, "it exists"),
        ("401 Unauthorized", error("unauthorized-access", "who are you"), NotAllowed, "who are you"),
        ("403 Forbidden", error("forbidden", "you may not"), NotAllowed, "you may not"),
        ("422 Unprocessable", error("invalid-release", "not a release"), Refusal, "not a release"),
        ("413 Too Large", error("payload-too-large", "too large"), Refusal, "too large"),
        ("500 Oops", error("internal-error", ""), Refusal, "500 Oops"),
        ("404 Not Found", b'{"code":"x","message":"bare","details":{}}', NotFound, "bare"),
        ("404 Not Found", b'{"error":{"code":"x","message":"no details","details":null}}', NotFound, "no details"),
        ("503 Busy", error("unavailable", "safe to repeat"), Unreachable, "is not available now: safe to repeat"),
        ("502 Bad Gateway", b"<html>", Unreachable, "not available now (502 Bad Gateway)"),
        ("404 Not Found", b"<html>", BadAnswer, "APPR_URL_PREFIX="),
        ("500 Oops", b"<html>", BadAnswer, "answered 500 with application/json, not as an app registry does"),
        ("200 OK", b"<html>", BadAnswer, "not as an app registry does"),
        ("200 OK", b'{"a": 1}', BadAnswer, "not as an app registry does"),
        ("200 OK", b"\xff", BadAnswer, "not as an app registry does"),
        ("200 OK", b"[" * 100_000, BadAnswer, "not as an app registry does"),
        ("204 No Content", b"", BadAnswer, "not as an app registry does"),
    ],
)
def test_answers_to_a_list(
    peer: PeerMaker, client_of: ClientMaker, status: str, body: bytes, kind: type[Exception], sentence: str
) -> None:
    server = peer(answer(body, status=status))
    with pytest.raises(ClientError) as caught:
        client_of(server.port).releases(PACKAGE)
    assert type(caught.value) is kind
    assert sentence in str(caught.value)


def test_the_details_of_an_error_are_kept(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(error("package-exists", "it exists", package="a/b"), status="409 Conflict"))
    with pytest.raises(Exists) as caught:
        client_of(server.port).releases(PACKAGE)
    assert (caught.value.status, caught.value.code) == (409, "package-exists")
    assert caught.value.details == {"package": "a/b"}


def test_a_huge_error_is_cut(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b'{"error":{"code":"x","message":"' + b"y" * 10_000_000 + b'"}}', status="400 Bad Request"))
    with pytest.raises(BadAnswer):
        client_of(server.port).releases(PACKAGE)


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"junk\r\n\r\n",
        answer(b"[", length=100),
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    ],
    ids=["closed", "half a head", "no http", "half a body", "bad length"],
)
def test_a_broken_connection_is_one_sentence(peer: PeerMaker, client_of: ClientMaker, reply: bytes) -> None:
    with pytest.raises(Unreachable, match="broke off the connection"):
        client_of(peer(reply).port).releases(PACKAGE)


def test_nobody_listens(client_of: ClientMaker) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unreachable, match="cannot be reached: Connection refused"):
        client_of(port).version()


def test_a_name_that_does_not_exist() -> None:
    with CnrClient(Connection(RegistryAddress("http", "registry.invalid"))) as client:
        with pytest.raises(Unreachable, match=r"registry\.invalid cannot be reached: "):
            client.version()


def test_tls_to_a_server_without_it(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b"{}", status="400 Bad Request"))
    with pytest.raises(Unreachable, match="does not speak TLS: write http://127"):
        client_of(server.port, scheme="https").version()


def test_a_certificate_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    for content in (None, b"no certificate"):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ClientError, match="certificate file"):
            CnrClient(Connection(RegistryAddress("https", "h"), cacert=path))


def test_what_is_sent(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b"{}"))
    client_of(server.port, token="basic dTpw", prefix="/prefix").version()
    head = server.requests[0].decode().lower()
    assert head.startswith("get /prefix/version http/1.1\r\n")
    assert "authorization: basic dtpw\r\n" in head
    assert "user-agent: cnr/" in head
    assert "accept-encoding: identity\r\n" in head


@pytest.mark.parametrize("token", ["basic a\r\nX: y", "ключ", "a\0"])
def test_a_token_that_no_header_can_carry(token: str) -> None:
    with pytest.raises(ClientError, match="CNR_TOKEN has characters") as caught:
        CnrClient(Connection(RegistryAddress("http", "localhost"), token=token))
    assert token not in str(caught.value)


def test_a_query_is_percent_encoded(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b"{}", status="404 Not Found"))
    with pytest.raises(BadAnswer):
        client_of(server.port).show(PACKAGE, ">=1.0,<2.0+b/..", "helm")
    assert b"GET /cnr/api/v1/packages/ns/app/%3E%3D1.0%2C%3C2.0%2Bb%2F../helm HTTP" in server.requests[0]


def redirect(to: str, status: str = "302 Found") -> bytes:
    return f"HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


def test_the_token_does_not_follow_a_redirect_to_another_server(peer: PeerMaker, client_of: ClientMaker) -> None:
    other = peer(answer(b"bytes", kind="application/x-gzip"))
    server = peer(redirect(f"http://127.0.0.1:{other.port}/blob"))
    out = io.BytesIO()
    assert client_of(server.port, token="basic secret").download(PACKAGE, DIGEST, out, limit=10) == 5
    assert b"secret" in server.requests[0]
    assert b"secret" not in other.requests[0]
    assert out.getvalue() == b"bytes"


def test_a_push_is_not_redirected(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(redirect("http://elsewhere.invalid/x", "307 Temporary Redirect"))
    with pytest.raises(BadAnswer, match=r"use http://elsewhere\.invalid/x instead"):
        client_of(server.port).push(PACKAGE, "1.0.0", "helm", io.BytesIO(b"x"), 1)


def test_redirects_without_end(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(redirect("/cnr/version"))
    with pytest.raises(BadAnswer, match="cannot be used"):
        client_of(server.port).version()


def test_a_download_that_is_larger_than_promised_is_stopped(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b"x" * 1000))
    with pytest.raises(Damaged, match="more than the 999 bytes"):
        client_of(server.port).download(PACKAGE, DIGEST, io.BytesIO(), limit=999)


def test_a_download_that_is_cut_off(peer: PeerMaker, client_of: ClientMaker) -> None:
    server = peer(answer(b"x" * 10, length=100))
    with pytest.raises(Unreachable, match="broke off"):
        client_of(server.port).download(PACKAGE, DIGEST, io.BytesIO(), limit=100)


def test_an_archive_that_the_server_calls_encoded_is_kept_as_it_is(peer: PeerMaker, client_of: ClientMaker) -> None:
    packed = gzip.compress(b"tar")
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\nConnection: close\r\n\r\n"
    out = io.BytesIO()
    client_of(peer(head.encode() + packed).port).download(PACKAGE, DIGEST, out, limit=1000)
    assert out.getvalue() == packed


def test_shapes_of_old_servers(peer: PeerMaker, client_of: ClientMaker) -> None:
    item = {
        "package": "ns/app",
        "release": "1.0.0",
        "mediaType": "application/vnd.appr.package-manifest.kpm.v0.json",
        "content": {"digest": "d", "size": 1},
        "metadata": None,
    }
    lists_of_lists = peer(answer(json.dumps([[item], [item]]).encode()))
    assert [found.format for found in client_of(lists_of_lists.port).releases(PACKAGE)] == ["kpm", "kpm"]
    assert client_of(lists_of_lists.port).releases(PACKAGE, format="helm") == []
    no_channels = peer(answer(error("channel-not-found", "none"), status="404 Not Found"))
    assert client_of(no_channels.port).channels(PACKAGE) == []
    only_names = peer(answer(error("resource-not-found", ""), status="404 Not Found"), answer(b'["ns/app", ""]'))
    assert [found.name for found in client_of(only_names.port).search("app", limit=5)] == ["ns/app"]


def test_search_turns_pages_as_the_server_says(peer: PeerMaker, client_of: ClientMaker) -> None:
    def page(name: str, *links: str) -> bytes:
        body = json.dumps([{"name": name, "default": "1.0.0", "description": "", "formats": [], "score": 1.0}])
        return answer(body.encode()).replace(b"\r\n", "".join(["\r\n", *links]).encode(), 1)

    first = page("ns/a", 'Link: </cnr/api/v1/search?q=x&limit=100&after=1.0%2Cns%2Fa>; rel="next"\r\n')
    server = peer(first, page("ns/b"))
    assert [found.name for found in client_of(server.port).search("x", limit=500)] == ["ns/a", "ns/b"]
    assert b"after=1.0%2Cns%2Fa" in server.requests[1]
    assert [found.name for found in client_of(peer(first).port).search("x", limit=3)] == ["ns/a"] * 3

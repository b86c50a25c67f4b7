"""A registry that serves one repository `r/r` from memory, and misbehaves as a test tells it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.cli.oci_repository import INDEX, digest_of

Answer = Callable[["Handler"], None]


class _Count:
    """How many requests are being answered now."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._number = 0

    def __enter__(self) -> None:
        with self._changed:
            self._number += 1

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._number -= 1
            self._changed.notify_all()

    def wait_for_none(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._number == 0, 60)


class Misbehaving:
    """`asked` are the requests that came: method, path with query, headers. `special` answers a path by itself."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.types: dict[str, str] = {}
        self.special: dict[str, Answer] = {}
        self.gate: Callable[[Handler], bool] = lambda handler: False
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.uploads: list[bytes] = []
        self.port = 0
        self.answering = _Count()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}/r/r"

    def image(self, manifest: bytes, *blobs: bytes, tag: str = "v1") -> bytes:
        """Serves a manifest at its tag and digest, and blobs."""
        self.blobs |= {digest_of(blob): blob for blob in (b"{}", *blobs)}
        self.manifests |= {tag: manifest, digest_of(manifest): manifest}
        return manifest

    def headers(self, path: str, method: str = "GET") -> list[dict[str, str]]:
        """The headers of the requests to a path."""
        return [headers for asked, url, headers in self.asked if asked == method and url.partition("?")[0] == path]

    def count(self, method: str, part: str) -> int:
        return sum(asked == method and part in url for asked, url, _ in self.asked)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Misbehaving

    def answer(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": len(body)} | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def break_off(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def _serve(self) -> None:
        with self.registry.answering:
            self._answer()

    def _answer(self) -> None:
        registry = self.registry
        size = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(size)
        if len(self.body) < size:  # the client was killed while it sent
            self.close_connection = True
            return
        path = self.path.partition("?")[0]
        registry.asked.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}))
        if registry.gate(self):
            return
        if path in registry.special:
            registry.special[path](self)
            return
        getattr(self, f"_{self.command.lower()}")(path)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve

    def _get(self, path: str) -> None:
        kind, _, reference = path.removeprefix("/v2/r/r/").partition("/")
        if path == "/v2/":
            self.answer(200)
        elif kind == "manifests" and reference in self.registry.manifests:
            data = self.registry.manifests[reference]
            media_type = self.registry.types.get(reference) or json.loads(data)["mediaType"]
            self.answer(200, data, Content_Type=media_type)
        elif kind == "blobs" and reference in self.registry.blobs:
            self._blob(self.registry.blobs[reference])
        else:
            self.answer(404)

    _head = _get

    def _blob(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        if wanted is None:
            self.answer(200, data)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        self.answer(206, data[start:], Content_Range=f"bytes {start}-{len(data) - 1}/{len(data)}")

    def _post(self, path: str) -> None:
        self.answer(202, Location="/v2/r/r/blobs/uploads/1")

    def _put(self, path: str) -> None:
        self.registry.uploads.append(self.body)
        kind, _, reference = path.removeprefix("/v2/r/r/").partition("/")
        if kind == "manifests":
            self.registry.image(self.body, tag=reference)
        else:
            self.registry.blobs[digest_of(self.body)] = self.body
        self.answer(201)

    def _delete(self, path: str) -> None:
        self.answer(405)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that end a connection are what is tested."""


@contextmanager
def misbehaving() -> Iterator[Misbehaving]:
    registry = Misbehaving()
    handler = type("Bound", (Handler,), {"registry": registry})
    with _Server(("127.0.0.1", 0), handler) as server:
        registry.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield registry
        finally:
            server.shutdown()
            thread.join()


def times(number: int, answer: Answer) -> Callable[[Handler], bool]:
    """A gate that answers the first `number` requests so (-1: all), and lets the others through."""
    left = [number]

    def gate(handler: Handler) -> bool:
        if left[0] == 0:
            return False
        left[0] -= 1
        answer(handler)
        return True

    return gate


def half(data: bytes) -> Answer:
    """Promises all of `data` and breaks off in the middle."""

    def answer(handler: Handler) -> None:
        handler.answer(200, data[: len(data) // 2], Content_Length=len(data))
        handler.break_off()

    return answer


def endless(handler: Handler) -> None:
    """A body that does not come to an end, until the client goes."""
    handler.answer(200, Content_Length=None, Transfer_Encoding="chunked")
    with suppress(OSError):
        while True:
            handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")


def listed(tags: Any, **headers: object) -> Answer:
    body = json.dumps({"name": "r/r", "tags": tags}).encode()
    return lambda handler: handler.answer(200, body, Content_Type="application/json", **headers)


def referrers(*entries: Any, **headers: object) -> Answer:
    body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}).encode()
    return lambda handler: handler.answer(200, body, Content_Type=INDEX, **headers)

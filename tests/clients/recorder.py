"""A plain proxy in front of a server that writes down what a client really sends, and what it is answered."""

import http.client
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP = {"connection", "keep-alive", "transfer-encoding", "host"}
"""Headers that end at the next hop. Source: RFC 9110 section 7.6.1."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answer, `body` and `answer` being what they carried. Header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    status: int
    answered: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    answer: bytes = b""

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


class Recorder(ThreadingHTTPServer):
    """Forwards to `upstream` (an http:// URL), what `aim` makes of the target.

    `exchanges` are in the order in which they were answered. Bodies are held in memory.
    """

    daemon_threads = True

    def __init__(self, upstream: str, aim: Callable[[str], str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlsplit(upstream).netloc
        self.aim = aim
        self.host = f"127.0.0.1:{self.server_port}"
        self.exchanges: list[Exchange] = []

    def taken(self) -> list[Exchange]:
        """What was recorded since the last call."""
        found, self.exchanges = self.exchanges, []
        return found


@contextmanager
def recorder(upstream: str, *, aim: Callable[[str], str] = str) -> Iterator[Recorder]:
    """A running Recorder."""
    proxy = Recorder(upstream, aim)
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Recorder
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        body = self._body()
        upstream = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            headers["Host"] = self.server.host
            upstream.request(self.command, self.server.aim(self.path), body=body, headers=headers)
            answer = upstream.getresponse()
            data = answer.read()
        finally:
            upstream.close()
        self.server.exchanges.append(
            Exchange(self.command, self.path, _lower(self.headers), answer.status, _lower(answer.headers), body, data)
        )
        self._answer(answer, data)

    do_HEAD = do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward

    def _answer(self, answer: http.client.HTTPResponse, data: bytes) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        if "content-length" not in answer.headers and answer.status not in (204, 304):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("transfer-encoding", ""):
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        found = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(found)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}

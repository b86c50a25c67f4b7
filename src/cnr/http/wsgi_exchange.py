"""One request between a WSGI server's thread and an event loop."""

import asyncio
import errno
from collections.abc import Callable, Iterator
from http import HTTPStatus
from queue import SimpleQueue
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Scope

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

READ_BYTES: Final = 64 * 1024
READ_S: Final = 120.0
"""Seconds that one read from the client may take, where the server shows its socket (gunicorn does)."""
READ_AFTER_ANSWER_S: Final = 2.0
_HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade"})
_END: Final[Message] = {"type": "http.request", "body": b"", "more_body": False}
_GONE: Final[Message] = {"type": "http.disconnect"}


class Exchange:
    """The request's ASGI channels on the loop's side, and its WSGI answer on the thread's side.

    The loop posts steps; the thread takes them in order and does what blocks: read a piece of the body, or hand
    one to the server. At most one piece of the answer waits while another is being written.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, environ: Environ) -> None:
        self._loop = loop
        self._scope = scope_of(environ)
        self._body = _Body(environ)
        self._steps: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # The thread's side.
        self._status: int | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._piece: bytes | None = None
        self._written: asyncio.Future[None] | None = None
        self._ended = False
        self._error: BaseException | None = None
        # The loop's side.
        self._gone = asyncio.Event()
        self._last: asyncio.Future[None] | None = None
        self._reading: asyncio.Future[Message] | None = None
        self._answered = False
        self._lost = False
        self._no_body = self._scope["method"] == "HEAD"

    # On the loop.

    async def run(self, application: ASGIApp) -> None:
        """Run the application on this request; whatever comes of it, the thread is told that it has ended."""
        error: BaseException | None = None
        try:
            await application(self._scope, self._receive, self._send)
        except asyncio.CancelledError:
            error = ConnectionAbortedError(errno.ECONNABORTED, "the server shuts down")
        except Exception as exc:
            error = exc
        self._steps.put(lambda: self._end(error))

    async def _receive(self) -> Message:
        if self._gone.is_set():
            return _GONE
        if self._body.ended:
            await self._gone.wait()
            return _GONE
        limit_s = READ_AFTER_ANSWER_S if self._answered else READ_S
        read: asyncio.Future[Message] = self._loop.create_future()
        self._reading = read
        self._steps.put(lambda: self._read(read, limit_s))
        message = await read
        if message is _GONE:
            self._gone.set()
        return message

    async def _send(self, message: Message) -> None:
        if self._lost:
            raise ClientDisconnect
        if message["type"] == "http.response.start":
            self._answered = True
            status, headers = message["status"], list(message.get("headers", ()))
            self._steps.put(lambda: self._begin(status, headers))
        elif message["type"] == "http.response.body":
            await self._send_piece(message.get("body", b""), last=not message.get("more_body", False))

    async def _send_piece(self, piece: bytes, *, last: bool) -> None:
        if self._last is not None:
            await self._last
        if not last or piece:
            written: asyncio.Future[None] = self._loop.create_future()
            self._steps.put(lambda: self._offer(piece, written))
            self._last = None if last else written

    def _lose(self) -> None:
        self._lost = True
        self._gone.set()
        if self._reading is not None:
            _set(self._reading, _GONE)
        if self._last is not None and not self._last.done():
            self._last.set_exception(ClientDisconnect())

    # In the server's thread.

    def start(self, start_response: StartResponse) -> None:
        """Wait for the application's answer to begin, and begin it.

        Raises what the application raised; or what reading the body raised, since the server knows best what to
        tell a client that sent a broken one.
        """
        while self._status is None and not self._ended:
            self._steps.get()()
        if self._body.error is not None:
            raise self._body.error
        if self._status is None:
            raise self._error or RuntimeError("the application gave no answer")
        start_response(_status_line(self._status), _text_headers(self._headers))

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        """The next piece of the answer. Raises what the application raised."""
        self._release()
        while self._piece is None:
            if self._ended:
                if self._error is not None:
                    raise self._error
                raise StopIteration
            self._steps.get()()
        piece, self._piece = self._piece, None
        return piece

    def close(self) -> None:
        """The server is done, or the client is: the application is told, nobody waits for it."""
        if not self._ended:
            self._loop.call_soon_threadsafe(self._lose)

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._status, self._headers = status, headers

    def _offer(self, piece: bytes, written: "asyncio.Future[None]") -> None:
        self._written = written
        if piece and not self._no_body:
            self._piece = piece
        else:
            self._release()

    def _release(self) -> None:
        if self._written is not None:
            self._resolve(self._written, None)
            self._written = None

    def _read(self, read: "asyncio.Future[Message]", limit_s: float) -> None:
        self._resolve(read, self._body.next(limit_s))

    def _end(self, error: BaseException | None) -> None:
        self._ended, self._error = True, error

    def _resolve(self, future: "asyncio.Future[Any]", value: Any) -> None:
        self._loop.call_soon_threadsafe(_set, future, value)


def _set(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():  # a reader that was cancelled, or an answer nobody writes any more
        future.set_result(value)


class _Body:
    """The request's body as ASGI messages; every read blocks."""

    def __init__(self, environ: Environ) -> None:
        self.error: BaseException | None = None
        self._input = environ["wsgi.input"]
        self._socket = environ.get("gunicorn.socket")
        chunked = "chunked" in environ.get("HTTP_TRANSFER_ENCODING", "").lower()
        length = environ.get("CONTENT_LENGTH") or "0"
        # None: to the end of the input, which the server has made out of the chunks.
        self._left: int | None = None if chunked else int(length)
        self.ended = False

    def next(self, limit_s: float) -> Message:
        """The next piece; a read that fails, lasts too long or ends early means that the client has gone."""
        if self.error is not None:
            return _GONE
        try:
            return self._read_within(limit_s)
        except TimeoutError:
            self.error = ConnectionResetError(errno.ECONNRESET, "the client stopped in the middle of its body")
            return _GONE
        except Exception as exc:
            # Whatever the server raises here is about the client; the server gets it back and knows the answer.
            self.error = exc
            return _GONE

    def _read_within(self, limit_s: float) -> Message:
        if self._left == 0:
            self.ended = True
            return _END
        if self._socket is None:
            return self._read()
        self._socket.settimeout(limit_s)
        try:
            return self._read()
        finally:
            self._socket.setblocking(True)

    def _read(self) -> Message:
        piece = self._input.read(READ_BYTES if self._left is None else min(READ_BYTES, self._left))
        if self._left is not None:
            if not piece:
                raise ConnectionResetError(errno.ECONNRESET, "the client left before the end of its body")
            self._left -= len(piece)
        self.ended = self._left == 0 if self._left is not None else not piece
        return {"type": "http.request", "body": piece, "more_body": not self.ended}


def scope_of(environ: Environ) -> Scope:
    """The ASGI scope of a WSGI environment. Source: PEP 3333 ("Unicode issues"), ASGI HTTP specification 2.3."""
    root = _utf8(environ.get("SCRIPT_NAME", ""))
    path = root + _utf8(environ.get("PATH_INFO", ""))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": environ.get("SERVER_PROTOCOL", "HTTP/1.1").partition("/")[2] or "1.1",
        "method": environ["REQUEST_METHOD"],
        "scheme": environ.get("wsgi.url_scheme", "http"),
        "path": path,
        "raw_path": _raw_path(environ, path),
        "query_string": environ.get("QUERY_STRING", "").encode("latin-1"),
        "root_path": root,
        "headers": list(_headers(environ)),
        "client": _address(environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")),
        "server": _address(environ.get("SERVER_NAME"), environ.get("SERVER_PORT")),
        "state": {},
    }


def _utf8(text: str) -> str:
    # WSGI gives bytes as latin-1; what is no UTF-8 becomes U+FFFD, as uvicorn does it.
    return text.encode("latin-1").decode("utf-8", "replace")


def _raw_path(environ: Environ, path: str) -> bytes:
    raw: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    if not raw.startswith("/"):  # none, or a whole URL as proxies may send it
        raw = quote(path)
    return raw.partition("?")[0].encode("latin-1")


def _headers(environ: Environ) -> Iterator[tuple[bytes, bytes]]:
    for name, value in environ.items():
        if name.startswith("HTTP_"):
            yield name[5:].replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")
        elif name in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield name.replace("_", "-").lower().encode("latin-1"), value.encode("latin-1")


def _address(host: str | None, port: str | None) -> tuple[str, int] | None:
    return (host, int(port) if port and port.isdigit() else 0) if host else None


def _status_line(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} Unknown"


def _text_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in headers if name.lower() not in _HOP_BY_HOP
    ]

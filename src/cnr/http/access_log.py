"""One JSON line per request, written in batches.

A line says which route was called, not which path with which query: no body, no query and no credential can
get into it. Batches, because a line written at once cost a third of the requests per second
(design/architecture.md section 3).
"""

import asyncio
import os
import re
import stat
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FLUSH_S: Final = 0.1
FLUSH_BYTES: Final = 64 * 1024
HELD_BYTES: Final = 16 * 1024 * 1024
"""Bytes held while whoever reads the log does not read; beyond them, lines are dropped and counted."""
CLIENT_GONE: Final = 499
"""Logged as status where the client left before any answer (nginx's number for it)."""
_ATOMIC: Final = 4096  # PIPE_BUF: a longer write may be cut in two by another worker's
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Line(msgspec.Struct, frozen=True):
    """What is known of a request: `time` RFC 3339 with milliseconds, `bytes` of the answer's body."""

    time: str
    method: str
    route: str
    status: int
    bytes: int
    ms: float
    id: str


class LogFile:
    """Lines collected and written to a file descriptor by one thread at a time; nobody waits for it.

    Lines of several processes that share the descriptor do not mix.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._whole = stat.S_ISREG(os.fstat(fd).st_mode)
        self._lines: list[bytes] = []
        self._held = 0
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._urgent = False
        self._writing = False
        self._turn = threading.Lock()

    def add(self, line: bytes) -> None:
        """Take one line, without its line feed; written within FLUSH_S."""
        if self._held >= HELD_BYTES:
            self._dropped += 1
            return
        self._lines.append(line)
        self._held += len(line)
        if self._timer is None:
            self._schedule(FLUSH_S)
        elif self._held >= FLUSH_BYTES and not self._urgent:
            self._urgent = True
            self._schedule(0.0)

    def close(self) -> None:
        """Write what is left. Not for a loop that goes on: it waits for the reader."""
        if self._timer is not None:
            self._timer.cancel()
        self._write(self._take())

    def _schedule(self, delay_s: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._flush)

    def _flush(self) -> None:
        if self._writing:
            self._schedule(FLUSH_S)
            return
        self._writing = True
        self._timer, self._urgent = None, False
        asyncio.get_running_loop().run_in_executor(None, self._write, self._take()).add_done_callback(self._written)

    def _written(self, _: "asyncio.Future[None]") -> None:
        self._writing = False

    def _take(self) -> list[bytes]:
        lines, self._lines, self._held = self._lines, [], 0
        if self._dropped:
            lines.append(msgspec.json.encode({"dropped_lines": self._dropped}))
            self._dropped = 0
        return lines

    def _write(self, lines: list[bytes]) -> None:
        try:
            with self._turn:
                for batch in [lines] if self._whole else _batches(lines):
                    data = b"\n".join([*batch, b""])
                    while data:
                        data = data[os.write(self._fd, data) :]
        except OSError:
            # A full disk or a reader that went away must not stop the service; the count is told if it recovers.
            self._dropped += len(lines)


def _batches(lines: list[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    room = 0
    for line in lines:
        room -= len(line) + 1
        if room < 0 or not batches:
            batches.append([])
            room = _ATOMIC - len(line) - 1
        batches[-1].append(line)
    return batches


def open_log(setting: str) -> LogFile | None:
    """The log that the setting names: `stdout`, `stderr`, `off` (None), else a file to append to.

    Raises OSError where the file cannot be opened.
    """
    if setting == "off":
        return None
    if setting in ("stdout", "stderr"):
        return LogFile(1 if setting == "stdout" else 2)
    return LogFile(os.open(setting, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640))


class AccessLog:
    """ASGI middleware: a request id for every request, and its Line in `log` (None: no lines).

    The id is the client's X-Request-Id where that is 1 to 64 of `A-Z a-z 0-9 . _ -`, else a new one; it goes back
    in the same header and stands in `scope["request_id"]`. The route is what the application put into
    `scope["route"]`, a template such as `/api/v1/packages/{namespace}/{name}`; `-` where no route matched.
    `clock` gives microseconds UTC, `ids` 32 hex digits.
    """

    def __init__(
        self,
        app: ASGIApp,
        log: LogFile | None,
        *,
        clock: Callable[[], int],
        ids: Callable[[], str],
        monotonic: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._app = app
        self._log = log
        self._clock = clock
        self._ids = ids
        self._monotonic = monotonic
        self._encode = msgspec.json.Encoder().encode
        self._second = -1
        self._second_text = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        answer = _Answer(send, _request_id(scope) or self._ids().encode())
        scope["request_id"] = answer.request_id.decode()
        try:
            await self._app(scope, receive, answer.send)
        finally:
            if self._log is not None:
                self._log.add(self._line(scope, answer, self._monotonic() - began))

    def _line(self, scope: Scope, answer: "_Answer", seconds: float) -> bytes:
        return self._encode(
            Line(
                time=self._now(),
                method=scope["method"],
                route=scope.get("route", "-"),
                status=answer.status,
                bytes=answer.size,
                ms=round(seconds * 1000, 3),
                id=scope["request_id"],
            )
        )

    def _now(self) -> str:
        second, micros = divmod(self._clock(), 1_000_000)
        if second != self._second:
            self._second = second
            self._second_text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._second_text}.{micros // 1000:03d}Z"


class _Answer:
    __slots__ = ("_send", "request_id", "size", "status")

    def __init__(self, send: Send, request_id: bytes) -> None:
        self._send = send
        self.request_id = request_id
        self.status = CLIENT_GONE
        self.size = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            self.size += len(message.get("body", b""))
        elif message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
            message = {**message, "headers": headers}
        await self._send(message)


def _request_id(scope: Scope) -> bytes | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value if _SANE_ID.fullmatch(value) else None
    return None

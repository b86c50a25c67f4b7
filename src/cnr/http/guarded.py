"""uvicorn's HTTP protocol with what it does not have itself: bounds on a request's head, and answers sent whole."""

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cnr.http.joined_writes import JoinedWrites

HEAD_BYTES: Final = 64 * 1024
"""Bytes of a head that is not complete yet. nginx: 32 KiB, Apache: about 800 KiB."""
BODY_BYTES: Final = 512 * 1024
"""Bytes of a body that wait for the application before the connection is read no more."""
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-type: text/plain\r\ncontent-length: 24\r\n\r\n"
    b"the headers are too long"
)


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections that send nothing, or a head that never ends in length or time.

    Without it such a client costs a connection, and memory without limit, for as long as it likes.
    """

    head_s: ClassVar[float] = 30.0
    """Seconds for a complete head, from the connection or from its first byte."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_open = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        joined = JoinedWrites(transport, asyncio.get_running_loop())
        super().connection_made(joined)  # type: ignore[arg-type]  # it delegates the rest of a Transport
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        # Most heads arrive in one piece: those cost nothing here.
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()
            else:
                self._arm()

    def on_message_begin(self) -> None:
        self._head_open = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._disarm()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        # Instead of uvicorn's, which stops reading at 64 KiB: less than one read of the socket, so each piece costs
        # two system calls more, and the sender stands still while the application works. (Nothing is upgraded here.)
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > BODY_BYTES:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def _arm(self) -> None:
        if self._head_timer is None:
            self._head_timer = asyncio.get_running_loop().call_later(self.head_s, self._late)

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _late(self) -> None:
        self._head_timer = None
        self.transport.close()

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

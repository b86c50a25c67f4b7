"""uvicorn's HTTP protocol with what it does not have itself: bounds in size and time, and answers sent whole."""

import asyncio
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from cnr.http.gate import Gate
from cnr.http.host import InvalidHost, require_host
from cnr.http.joined_writes import JoinedWrites
from cnr.http.long_body import LONG, LongBody, long_length
from cnr.http.slow_readers import SlowReader

HEAD_BYTES: Final = 64 * 1024
"""Bytes of a head that is not complete yet. nginx: 32 KiB, Apache: about 800 KiB."""
PIPELINED: Final = 128
"""Requests that may wait for the one before them. One read of a socket can bring ten thousand: 25 MB of waiting."""
_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"connection: close\r\ncontent-type: text/plain\r\ncontent-length: 24\r\n\r\n"
    b"the headers are too long"
)


class TooManyPipelined(Exception):
    """Ends the parsing of what has come."""


class GuardedProtocol(HttpToolsProtocol):
    """Closes connections whose client sends nothing, or a head that never ends in length or time, or reads nothing.

    Without it such a client costs a connection, and memory without limit, for as long as it likes. What a body may
    take while the application reads it is the application's (http/body.py).
    """

    head_s: ClassVar[float] = 10.0
    """Seconds for a complete head, from the connection or from its first byte."""
    stall_s: ClassVar[float] = 30.0
    """Seconds for what is left of a body that nobody reads, and for a client to take some of its answer."""
    gate: ClassVar[Gate | None] = None
    """Who may connect; None: everybody."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_open = True
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None
        self._reader: SlowReader | None = None
        self._who: str | None = None
        self._long: LongBody | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.gate is not None:
            self._who = self.gate.enter(transport)
            if self._who is None:
                return
        self._reader = SlowReader(transport, self.stall_s)
        joined = JoinedWrites(transport, asyncio.get_running_loop(), on_unsent=self._reader.watch)
        super().connection_made(joined)  # type: ignore[arg-type]  # it delegates the rest of a Transport
        self._arm(self.head_s)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        if self._reader is not None:
            self._reader.stop()
        if self.gate is not None and self._who is not None:
            self.gate.leave(self._who)
            self._who = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        while data:
            data = self._feed(data) if self._long is None else self._past_the_parser(self._long, data)
        if self._long is not None and self._long.left:
            self._long.take_over(self, self._long_body_ended)

    def _feed(self, data: bytes) -> bytes:
        """Parse `data`; what is behind a head that asked for an upgrade."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as exc:
            return self._go_on_without(data[exc.args[0] :])
        except httptools.HttpParserError as exc:
            wrong_host = isinstance(exc.__context__, InvalidHost)
            self.send_400_response(str(exc.__context__) if wrong_host else "Invalid HTTP request received.")
            return b""
        # Most heads arrive in one piece: those cost nothing here.
        if self._head_open:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._refuse()
            else:
                self._arm(self.head_s)
        return b""

    def _go_on_without(self, rest: bytes) -> bytes:
        """Ignore an upgrade, as RFC 9110 7.8 lets a server do. The parser has skipped the body and is at its end."""
        if self._long is None and any(name == b"transfer-encoding" for name, _ in self.headers):
            self.send_400_response("An upgrade cannot be asked for with a chunked body.")
            return b""
        self._renew_parser()
        return rest

    def _past_the_parser(self, body: LongBody, data: bytes) -> bytes:
        """Add to a long body; what of `data` is behind its end."""
        left = body.left
        if len(data) < left:
            body.add(data)
            return b""
        body.add(data[:left])
        self._long_body_ended()
        return data[left:]

    def _long_body_ended(self) -> None:
        self._renew_parser()  # the old one still waits for this body's end
        self.on_message_complete()

    def _renew_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def on_message_complete(self) -> None:
        if self._long is not None and self._long.left:
            return  # a body that the parser skips, since an upgrade was asked for
        self._long = None
        if self.cycle.response_complete:
            self._disarm()
            self._expect_head()
        super().on_message_complete()

    def on_message_begin(self) -> None:
        self._head_open = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_open = False
        self._disarm()
        require_host(self.headers, old=self.parser.get_http_version() == "1.0")
        super().on_headers_complete()
        if len(self.pipeline) > PIPELINED:
            self.transport.abort()
            raise TooManyPipelined
        length = long_length(self.scope, above=0 if self.parser.should_upgrade() else LONG)
        if length:
            self._long = LongBody(self.cycle, length)

    def on_body(self, body: bytes) -> None:
        # Instead of uvicorn's, which stops reading at 64 KiB: less than one read of the socket, so each piece costs
        # two system calls more, and the sender stands still while the application works. (Nothing is upgraded here.)
        if self._long is not None:
            self._long.add(body)
            return
        if self.cycle.response_complete:
            return
        self.cycle.body += body
        if len(self.cycle.body) > LONG:
            self.flow.pause_reading()
        self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        others_wait = bool(self.pipeline)
        super().on_response_complete()
        if others_wait or self.transport.is_closing():
            return
        if self.cycle.more_body:
            # The application is done with this request, and uvicorn's own time-out ends at the next byte.
            self._arm(self.stall_s)
        else:
            self._expect_head()

    def _expect_head(self) -> None:
        # Now, not at its beginning: empty lines before it begin nothing, and end uvicorn's time-out.
        self._head_open = True
        self._head_bytes = 0

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._reader is not None:
            self._reader.watch()

    def resume_writing(self) -> None:
        if self._reader is not None and not self.transport.is_closing():
            self._reader.stop()
        super().resume_writing()

    def _arm(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        self.transport.close()

    def _refuse(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

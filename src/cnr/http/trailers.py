"""Bounds on what comes in a chunked body beside the body: uvicorn keeps every trailer, and adds it to the headers."""

from typing import Any

from cnr.http.guarded import HEAD_BYTES, GuardedProtocol


class TrailersIgnored(GuardedProtocol):
    """Reads trailers and ignores them, and refuses those that never end.

    A trailer is no header: who asked for a request to be let through saw none of them. Source: RFC 9110 section 6.5.1.
    Thirty megabytes of short trailers took half a gigabyte.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_chunk = False
        self._bodyless = 0

    def data_received(self, data: bytes) -> None:
        self._bodyless += len(data)
        super().data_received(data)
        if self._in_chunk and self._bodyless > HEAD_BYTES:
            self.transport.abort()

    def on_chunk_header(self) -> None:
        # Also called for the last chunk, which has no bytes and behind which the trailers come.
        self._in_chunk = True
        self._bodyless = 0
        self.headers = []  # the request has its own; what is added from here on are trailers

    def on_body(self, body: bytes) -> None:
        self._bodyless = 0
        super().on_body(body)

    def on_chunk_complete(self) -> None:
        self._in_chunk = False

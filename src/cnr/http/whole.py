"""A response whose body and headers are ready: nothing is encoded, and nothing looked up, for each request."""

from collections.abc import Sequence

from starlette.responses import Response

RawHeaders = Sequence[tuple[bytes, bytes]]
"""Names in lower case, and values, as they go out."""


class WholeResponse(Response):
    """`body` under `headers`, and a Content-Length of it unless `length` says that of a GET, for a HEAD."""

    def __init__(self, body: bytes, headers: RawHeaders, *, status_code: int = 200, length: int | None = None) -> None:
        self.status_code = status_code
        self.body = body
        self.background = None
        self.raw_headers = [*headers, (b"content-length", b"%d" % (len(body) if length is None else length))]

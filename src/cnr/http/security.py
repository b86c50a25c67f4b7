"""Headers that tell browsers what not to do with an answer. The API's own clients ignore them.

Source: the Fetch standard for CORS and nosniff, Content Security Policy 3, RFC 6797.
"""

from typing import Final

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

NOSNIFF: Final = (b"x-content-type-options", b"nosniff")
"""Nothing is taken for something else than its Content-Type says, such as a page in a stranger's file."""
SANDBOX: Final = "default-src 'none'; sandbox"
"""The policy of a stranger's file: opened as a page, it runs nothing, loads nothing and is of no origin."""
OPEN_TO_READ: Final = (b"access-control-allow-origin", b"*")
"""Pages of other sites may read the answer. Never with Access-Control-Allow-Credentials: `*` forbids that."""
PREFLIGHT: Final = (
    (b"access-control-allow-methods", b"GET, HEAD"),
    (b"access-control-allow-headers", b"Authorization, If-None-Match, Range, X-Request-Id"),
    (b"access-control-max-age", b"86400"),
)
"""What pages of other sites may ask for: to read, as who shows a token of his own. Changes are refused elsewhere."""
_PRIVATE: Final = (b"cache-control", b"private")


def page_headers(policy: str) -> dict[str, str]:
    """Of a page of ours with this policy: it is in no frame, and says to nobody where a click came from."""
    return {
        "Content-Security-Policy": f"{policy}; frame-ancestors 'none'",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
    }


def keep_private(response: Response) -> None:
    """Keep caches that serve several people from keeping an answer, unless it says itself who may."""
    for name, _ in response.raw_headers:
        if name == b"cache-control":
            return
    response.raw_headers.append(_PRIVATE)


class StrictTransport:
    """ASGI middleware: over HTTPS every answer says that this host is reached by HTTPS only, for `seconds`."""

    def __init__(self, app: ASGIApp, seconds: int) -> None:
        self._app = app
        self._header = (b"strict-transport-security", b"max-age=%d" % seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_header(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), self._header]}
            await send(message)

        secure = scope["type"] == "http" and scope["scheme"] == "https"
        await self._app(scope, receive, with_header if secure else send)

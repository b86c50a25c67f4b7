"""This project's server without its OCI API, for a client to which only the old servers' API must be enough."""

from starlette.types import Receive, Scope, Send

from cnr.api.asgi import app as whole


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI."""
    if scope["type"] == "http" and scope["path"].startswith("/v2"):
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return
    await whole(scope, receive, send)

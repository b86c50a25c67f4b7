"""Where a client found this server."""

import re
from urllib.parse import quote

from starlette.requests import Request

_HOST = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
"""Of a Host header. Whatever else it holds could be no client's idea of this server."""


def base_of(request: Request) -> str:
    """Scheme, host and port that the client used, and the prefix that this server is mounted at."""
    host = request.headers.get("host", "")
    root = quote(request.scope.get("root_path", "").rstrip("/"))
    return f"{request.scope['scheme']}://{host if _HOST.fullmatch(host) else 'localhost'}{root}"

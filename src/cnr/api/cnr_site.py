"""What the CNR server says of itself: version, routes, discovery, login, health.

Source: contracts/cnr.md 2.1 to 2.3, 2.15.
"""

import base64
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from cnr import __version__
from cnr.api import cnr_messages as messages
from cnr.api.cnr_fields import FieldReader
from cnr.domain.audit import Who
from cnr.domain.errors import InvalidUsage
from cnr.http.addresses import base_of
from cnr.http.admission import address_of
from cnr.http.audited import note_claim, note_login
from cnr.http.json_response import json_response, pretty_response
from cnr.http.routes import Route, Router
from cnr.http.security import page_headers

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>cnr-server</title>
<meta name="appr-package" content="{template}">
<meta name="cnr-package" content="{template}">
</head>
<body>
<h1>cnr-server {version}</h1>
<p>The registry for Kubernetes applications.</p>
<ul>
<li><a href="{root}/docs">API documentation</a></li>
<li><a href="{root}/api/v1/packages">packages</a></li>
</ul>
</body>
</html>
"""

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'"


Check = Callable[[str, str, str], Awaitable[Who]]
"""Who has this name and password, shown at this address. Raises Unauthorized, TooManyFailures."""


class Site:
    """The handlers. `ready` raises while the stores cannot be used; `public_url` overrides what a request says."""

    def __init__(
        self, fields: FieldReader, ready: Callable[[], Awaitable[None]], *, check: Check, public_url: str = ""
    ) -> None:
        self._fields = fields
        self._ready = ready
        self._check = check
        self._public_url = public_url.rstrip("/")
        self._routes: list[str] = []

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/", self.discovery, "public"),
            Route("GET", "/version", self.version, "public"),
            Route("GET", "/routes", self.list_routes, "public"),
            Route("GET", "/test_error", self.test_error, "public"),
            Route("GET", "/healthz", self.alive, "public"),
            Route("GET", "/readyz", self.is_ready, "public"),
            Route("POST", "/api/v1/users/login", self.login, "public", login=True),
        ]

    def describe(self, router: Router) -> None:
        """Learn the routes that /routes lists: endpoint, methods and path in columns, sorted."""
        rows = [(route.handler.__name__, route.method, _bracketed(route.path)) for route in router.routes]
        self._routes = sorted(f"{name:<24} {method:<8} {path}" for name, method, path in rows)

    async def discovery(self, request: Request) -> Response:
        base = self._public_url or base_of(request)
        address = urlsplit(base)
        template = f"{address.netloc}/{{name}} {base}/cnr/api/v1/packages/{{name}}/{{version}}/{{media_type}}/pull"
        page = _PAGE.format(template=escape(template), root=escape(address.path), version=__version__)
        return HTMLResponse(page, headers=page_headers(_POLICY))

    async def version(self, request: Request) -> Response:
        return pretty_response(messages.Version(__version__, __version__))

    async def list_routes(self, request: Request) -> Response:
        return pretty_response(messages.Routes(self._routes))

    async def test_error(self, request: Request) -> Response:
        raise InvalidUsage("this address always answers with an error", path=request.scope["path"])

    async def alive(self, request: Request) -> Response:
        return json_response(messages.Health())

    async def is_ready(self, request: Request) -> Response:
        await self._ready()
        return json_response(messages.Health())

    async def login(self, request: Request) -> Response:
        user = (await self._fields.of(request)).get("user")
        name, password = (user.get("username"), user.get("password")) if isinstance(user, dict) else (None, None)
        if not (isinstance(name, str) and name and isinstance(password, str) and password):
            raise InvalidUsage('a login is {"user": {"username": …, "password": …}}, neither of them empty')
        if ":" in name:
            raise InvalidUsage("a user name has no colon")
        note_claim(request, name)
        note_login(request, await self._check(name, password, address_of(request.scope)))
        token = base64.b64encode(f"{name}:{password}".encode()).decode()
        return json_response(messages.Token(f"basic {token}"))


def _bracketed(path: str) -> str:
    return path.replace("{", "[").replace("}", "]")

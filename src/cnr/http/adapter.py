"""What all protocol adapters do alike: find the route, authorise, run the handler, render what it raised."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cnr.domain.access import Access, Grant
from cnr.domain.account import Path
from cnr.domain.audit import Record
from cnr.domain.errors import CnrError, OutcomeUnknown, ReadOnly, TooManyRequests, Unauthorized
from cnr.domain.names import Repository
from cnr.http.admission import Admission, address_of
from cnr.http.audited import Failure, Matched, event_of
from cnr.http.errors import ErrorTable, wire
from cnr.http.routes import MethodNotAllowed, Route, RouteNotFound, Router
from cnr.http.security import OPEN_TO_READ, keep_private

Authorize = Callable[[Mapping[str, str], Access], Awaitable[Grant]]
Render = Callable[[int, str, str, Mapping[str, Any]], Response]
"""An error in the protocol's own shape, from (status, code, message, details)."""
Locate = Callable[[Mapping[str, str]], Repository | None]
"""The repository that a route's variables name; None where they name none."""
Challenge = Callable[[Request, Unauthorized, Access], str]
"""The header WWW-Authenticate of a 401. Source: RFC 9110 section 11.6.1."""


def place_of_repository(values: Mapping[str, str]) -> Path | None:
    """The place of a protocol whose routes name repositories: theirs."""
    return None


@dataclass(frozen=True, slots=True)
class Codes:
    """A protocol's codes for what no handler raises."""

    route_not_found: str
    method_not_allowed: str
    internal: str


ADMINISTRATION: Final = "/api/v1/admin"
"""Pages of other sites read nothing below it."""
_NAMED: Final = ("user", "token")
"""Whose answers may be others than anybody's."""
_log = logging.getLogger("cnr.http")


class Adapter:
    """One protocol as an ASGI application. Every route passes `authorize` before its handler runs.

    `record` gets what the audit log says of changes, logins and denials, before they are answered.
    """

    def __init__(
        self,
        router: Router,
        *,
        errors: ErrorTable,
        render: Render,
        authorize: Authorize,
        locate: Locate,
        challenge: Challenge,
        place: Callable[[Mapping[str, str]], Path | None] = place_of_repository,
        codes: Codes,
        headers: Sequence[tuple[bytes, bytes]] = (),
        preflight: Sequence[tuple[bytes, bytes]] = (),
        protocol: str = "",
        record: Record | None = None,
        admission: Admission | None = None,
    ) -> None:
        self.router = router
        self._errors = errors
        self._render = render
        self._authorize = authorize
        self._locate = locate
        self._challenge = challenge
        self._place = place
        self._codes = codes
        self._headers = tuple(headers)
        self._own = tuple(header for header in headers if header is not OPEN_TO_READ)
        self._closed = frozenset(route.path for route in router.routes if route.path.startswith(ADMINISTRATION))
        self._preflight = tuple(preflight)
        self._protocol = protocol
        self._record = record
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        response = await self._answer(scope, receive)
        if self._record is not None:
            event = event_of(scope, protocol=self._protocol, status=response.status_code)
            if event is not None:
                self._record(event)
        if scope["method"] == "OPTIONS":
            response.raw_headers.extend(self._preflight)
        elif "grant" in scope and scope["grant"].who.kind in _NAMED:
            keep_private(response)
        response.raw_headers.extend(self._own if scope.get("route") in self._closed else self._headers)
        await response(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive) -> Response:
        method, path = scope["method"], _path(scope)
        try:
            if self._admission is not None:
                self._admission.arrived(scope)
            route, values = self.router.match(method, path)
        except TooManyRequests as exc:
            return self._failure(exc, scope)
        except RouteNotFound:
            return self._render(404, self._codes.route_not_found, "there is nothing at this address", {"path": path})
        except MethodNotAllowed as exc:
            return self._other_method(method, exc.allow)
        scope["route"] = route.path
        request = Request(scope, receive)
        access = Access(self._locate(values), route.action, self._place(values), route.changes, address_of(scope))
        scope["matched"] = Matched(route, access, values)
        try:
            scope["grant"] = grant = await self._authorize(request.headers, access)
            if self._admission is not None:
                self._admission.known(scope, grant.user)
            return await _run(route, request, values)
        except Unauthorized as exc:
            return self._unauthorized(exc, request, access)
        except CnrError as exc:
            return self._failure(exc, scope)
        except ClientDisconnect:
            return Response(status_code=499)
        except asyncio.CancelledError:
            # Servers cancel what is still under way when their time to stop is over. This is the last word to a
            # client that waits; without it it would get the server's own bare 500.
            return self._failure(OutcomeUnknown("the server is stopping; it is safe to repeat the request"), scope)
        except Exception:
            _log_failure(scope)
            scope["failure"] = Failure(None, self._codes.internal)
            return self._render(500, self._codes.internal, "the server failed on this request; its log says more", {})

    def _other_method(self, method: str, allow: Sequence[str]) -> Response:
        header = {"Allow": ", ".join(allow)}
        if method == "OPTIONS":
            return Response(status_code=200, headers=header)
        message = f"this address has no {method}: use one of {header['Allow']}"
        response = self._render(405, self._codes.method_not_allowed, message, {"allow": list(allow)})
        response.headers.update(header)
        return response

    def _unauthorized(self, error: Unauthorized, request: Request, access: Access) -> Response:
        response = self._failure(error, request.scope)
        if response.status_code == 401:
            response.headers["WWW-Authenticate"] = self._challenge(request, error, access)
        return response

    def _failure(self, error: CnrError, scope: Scope) -> Response:
        entry = wire(self._errors, error)
        if entry.status == 500:
            _log_failure(scope)
        scope["failure"] = Failure(_without_frames(error), entry.code)
        response = self._render(entry.status, entry.code, error.message, error.details)
        if entry.retry_after_s is not None:
            response.headers["Retry-After"] = str(error.details.get("retry_after_s", entry.retry_after_s))
        if isinstance(error, ReadOnly):
            response.headers["Allow"] = self._reading(_path(scope))
        return response

    def _reading(self, path: str) -> str:
        """The methods of a path that change nothing."""
        try:
            self.router.match("GET", path)
        except MethodNotAllowed:
            return "OPTIONS"
        return "GET, HEAD, OPTIONS"


def _without_frames(error: CnrError) -> CnrError:
    # Its frames hold the scope, which holds it: a circle that keeps the request's body until the collector comes by.
    error.__traceback__ = error.__context__ = error.__cause__ = None
    return error


def _log_failure(scope: Scope) -> None:
    """What an operator should look into: with the error being handled, and without what the client sent."""
    _log.exception("%s %s failed, request %s", scope["method"], scope["route"], scope.get("request_id", "-"))


def _path(scope: Scope) -> str:
    """The path below the one that the application is mounted at, without what no text can hold.

    Source: the ASGI HTTP specification, `path` and `root_path`; not every server makes them overlap.
    """
    path: str = scope["path"]
    root: str = scope.get("root_path", "").rstrip("/")
    if root and path.startswith(root) and path[len(root) : len(root) + 1] in ("", "/"):
        path = path[len(root) :]
    return path if path.isascii() else path.encode("utf-8", "replace").decode()


async def _run(route: Route, request: Request, values: Mapping[str, str]) -> Response:
    return await route.handler(request, **values)

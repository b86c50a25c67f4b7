"""The classic Helm repository and the ChartMuseum API over the registry. Source: contracts/oci-helm.md 4, 5."""

from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cnr import __version__
from cnr.api.helm_charts import ChartRoutes
from cnr.api.helm_errors import CODES, ERRORS, render
from cnr.api.helm_files import FileRoutes
from cnr.api.helm_index import IndexRoutes
from cnr.api.helm_names import locate, place
from cnr.api.helm_router import HelmRouter
from cnr.api.helm_uploads import UploadRoutes
from cnr.domain.audit import Record
from cnr.http.adapter import Adapter, Authorize
from cnr.http.admission import Admission
from cnr.http.json_response import json_response
from cnr.http.routes import Route
from cnr.http.security import NOSNIFF, OPEN_TO_READ, PREFLIGHT, page_headers
from cnr.registry.registry import Registry

_PAGE: Final = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Helm charts</title></head>
<body><h1>Helm charts</h1><p>Add a namespace of this registry with <code>helm repo add</code>.</p></body>
</html>
"""
_POLICY: Final = "default-src 'none'; base-uri 'none'; form-action 'none'"


def adapter(
    registry: Registry,
    authorize: Authorize,
    *,
    context_path: str,
    stall_s: float,
    admission: Admission | None = None,
    record: Record | None = None,
) -> ASGIApp:
    """Both as one ASGI application below `context_path` (may be empty). Pages of other sites may read the API only."""
    routes = [
        Route("GET", "/", page, "public"),
        Route("GET", "/info", info, "public"),
        Route("GET", "/health", health, "public"),
        *IndexRoutes(registry, context_path).routes(),
        *FileRoutes(registry).routes(),
        *ChartRoutes(registry).routes(),
        *UploadRoutes(registry, stall_s).routes(),
    ]
    inner = Adapter(
        HelmRouter(routes, prefix=context_path),
        errors=ERRORS,
        render=render,
        authorize=authorize,
        locate=locate,
        place=place,
        challenge=lambda request, error, access: 'Basic realm="ChartMuseum"',
        codes=CODES,
        headers=(NOSNIFF,),
        protocol="helm",
        record=record,
        admission=admission,
    )
    return _OpenApi(inner, f"{context_path}/api/")


class _OpenApi:
    """Adds the CORS headers below one path."""

    def __init__(self, app: Adapter, path: str) -> None:
        self.router = app.router
        self._app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def opened(message: Message) -> None:
            if message["type"] == "http.response.start":
                more = PREFLIGHT if scope["method"] == "OPTIONS" else ()
                message = {**message, "headers": [*message["headers"], OPEN_TO_READ, *more]}
            await send(message)

        await self._app(scope, receive, opened if scope["path"].startswith(self._path) else send)


async def page(request: Request) -> Response:
    """For people who open the address."""
    return HTMLResponse(_PAGE, headers=page_headers(_POLICY))


async def info(request: Request) -> Response:
    """The version, as ChartMuseum tells it."""
    return json_response({"version": f"v{__version__}"})


async def health(request: Request) -> Response:
    """That the server answers."""
    return json_response({"healthy": True})

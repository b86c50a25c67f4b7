"""index.yaml over HTTP. Source: contracts/oci-helm.md section 4, "Our HTTP"."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.helm_names import readable_tenant, shown_to
from cnr.api.helm_selection import selection
from cnr.http.conditions import names
from cnr.http.encodings import chosen
from cnr.http.routes import Route
from cnr.http.streaming import PiecesResponse
from cnr.registry.chart_index import CODINGS
from cnr.registry.chart_selection import EVERYTHING
from cnr.registry.registry import Registry

YAML: Final = "application/x-yaml"
JSON: Final = "application/json"


class IndexRoutes:
    """The handlers. `context_path` is where the API is, as `helm cm-push` wants to know."""

    def __init__(self, registry: Registry, context_path: str) -> None:
        self._indexes = registry.chart_indexes
        self._selections = registry.chart_selections
        self._context_path = context_path

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/{tenant}/index.yaml", self.yaml, "list"),
            Route("GET", "/{tenant}/index.json", self.json, "list"),
            Route("GET", "/{tenant}/channels/{channel}/index.yaml", self.yaml, "list"),
            Route("GET", "/{tenant}/channels/{channel}/index.json", self.json, "list"),
        ]

    async def yaml(self, request: Request, tenant: str, channel: str = "") -> Response:
        return await self._index(request, tenant, channel, YAML)

    async def json(self, request: Request, tenant: str, channel: str = "") -> Response:
        return await self._index(request, tenant, channel, JSON)

    async def _index(self, request: Request, tenant: str, channel: str, media_type: str) -> Response:
        namespace, wanted = readable_tenant(tenant), selection(request, channel)
        if wanted == EVERYTHING:
            index = await self._indexes.of(namespace)
        else:
            index = await self._selections.of(namespace, wanted)
        index = await shown_to(request.scope["grant"], index, namespace, whole=wanted == EVERYTHING)
        tail = index.tail(self._context_path)
        digest = index.etag(tail)
        coding = chosen(request.headers.get("accept-encoding"), CODINGS)
        headers = _headers(f'"{digest}-{coding}"' if coding else f'"{digest}"', index.place.changed_at)
        if_none_match = request.headers.get("if-none-match")
        if any(names(if_none_match, tag) for tag in (f'"{digest}"', *(f'"{digest}-{each}"' for each in CODINGS))):
            return Response(status_code=304, headers=headers)
        parts = (await self._indexes.compressed(index, tail, coding),) if coding else (index.entries, tail)
        if coding:
            headers["Content-Encoding"] = coding
        headers["Content-Type"] = media_type
        return _answer(request, parts, headers)


def _answer(request: Request, parts: tuple[bytes, ...], headers: Mapping[str, str]) -> Response:
    if request.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(sum(map(len, parts)))})
    return PiecesResponse(*parts, headers=headers)


def _headers(tag: str, changed_at: int) -> dict[str, str]:
    return {
        "ETag": tag,
        "Last-Modified": format_datetime(datetime.fromtimestamp(changed_at // 1_000_000, UTC), usegmt=True),
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }

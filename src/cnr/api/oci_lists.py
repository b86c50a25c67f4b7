"""Lists over the OCI API: tags, referrers, the catalog. Source: OCI distribution 1.1, "Content discovery"."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_names import readable
from cnr.domain.access import Action
from cnr.domain.digest import parse_digest
from cnr.domain.errors import InvalidUsage
from cnr.domain.manifest import INDEX_TYPE
from cnr.http.json_response import json_response
from cnr.http.routes import Route
from cnr.registry.listing import Referrer
from cnr.registry.registry import Registry

CATALOG_LIMIT: Final = 1000
"""Repositories on a page of the catalog."""
TAGS_LIMIT: Final = 25_000
"""Tags of one answer when no number is asked for: below 4 MiB of JSON, the most that oras reads."""

_DIGITS_READ: Final = 18


class ListRoutes:
    """The handlers."""

    def __init__(self, registry: Registry, catalog_action: Action) -> None:
        self._catalog_action = catalog_action
        self._listing = registry.listing
        self._catalog = registry.catalog

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", "/v2/_catalog", self.catalog, self._catalog_action),
            Route("GET", "/v2/{name}/tags/list", self.tags, "pull"),
            Route("GET", "/v2/{name}/referrers/{reference}", self.referrers, "pull"),
        ]

    async def catalog(self, request: Request) -> Response:
        wanted, last = _number(request), request.query_params.get("last", "")
        limit = CATALOG_LIMIT if wanted is None else min(wanted, CATALOG_LIMIT)
        sees = request.scope["grant"].sees
        found = list(await self._catalog.repositories(after=last, limit=limit + 1, sees=sees)) if limit else []
        return json_response({"repositories": found[:limit]}, _next(request, found, limit))

    async def tags(self, request: Request, name: str) -> Response:
        repository, wanted = readable(name), _number(request)
        limit = TAGS_LIMIT if wanted is None else min(wanted, TAGS_LIMIT)
        found = await self._listing.tags(repository, after=_last(request), limit=limit + 1)
        return json_response({"name": repository, "tags": found[:limit]}, _next(request, found, limit))

    async def referrers(self, request: Request, name: str, reference: str) -> Response:
        repository, subject = readable(name), parse_digest(reference)
        wanted = request.query_params.get("artifactType")
        kinds = () if wanted is None else (wanted, wanted.replace(" ", "+"))
        page = await self._listing.referrers(repository, subject, artifact_type=kinds, after=_last(request))
        body = {
            "schemaVersion": 2,
            "mediaType": INDEX_TYPE,
            "manifests": [_descriptor(each) for each in page.referrers],
        }
        headers: dict[str, str] = {"Content-Type": INDEX_TYPE}
        if kinds:
            headers["OCI-Filters-Applied"] = "artifactType"
        if page.next_after is not None:
            headers |= _link(request, {"last": page.next_after})
        return Response(msgspec.json.encode(body), headers=headers)


def _descriptor(referrer: Referrer) -> dict[str, Any]:
    row = referrer.row
    found: dict[str, Any] = {"mediaType": row.media_type, "digest": referrer.digest, "size": row.size}
    if row.artifact_type:
        found["artifactType"] = row.artifact_type
    if row.annotations:
        found["annotations"] = row.annotations
    return found


def _number(request: Request) -> int | None:
    """`n` of the query. Raises InvalidUsage unless it is a whole number, zero or more."""
    text = request.query_params.get("n")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise InvalidUsage("n is a number of entries, zero or more", n=text[:100])
    return int(text[:_DIGITS_READ])


def _last(request: Request) -> str:
    """`last` of the query, of which only what can be in a key counts: other characters end it."""
    text = request.query_params.get("last", "")[:200]
    legal = next((at for at, char in enumerate(text) if not (char.isascii() and char.isprintable())), len(text))
    return text[:legal]


def _next(request: Request, found: Sequence[str], limit: int) -> dict[str, str]:
    if not limit or len(found) <= limit:
        return {}
    return _link(request, {"n": str(limit), "last": found[limit - 1]})


def _link(request: Request, query: dict[str, str]) -> dict[str, str]:
    """The header that names the next page, by its path alone: a proxy may have changed scheme and host."""
    kept = {key: value for key, value in request.query_params.items() if key not in query}
    return {"Link": f'<{quote(request.url.path)}?{urlencode(kept | query)}>; rel="next"'}

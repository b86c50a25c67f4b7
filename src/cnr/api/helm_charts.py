"""The ChartMuseum API, what it reads: lists of charts, versions, templates, values. Source: contracts/oci-helm.md 5."""

import base64
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cnr.api.helm_names import no_chart, readable_chart, readable_tenant, shown_to
from cnr.domain.chart_version import chart_order, is_chart_version, is_stable
from cnr.domain.errors import InvalidQuery, InvalidUsage, PackageNotFound
from cnr.domain.version import Release, is_release, resolve
from cnr.http.json_response import json_response
from cnr.http.routes import Route
from cnr.http.streaming import PiecesResponse
from cnr.registry.chart_index import ChartIndex
from cnr.registry.registry import Registry
from cnr.store.views import yanked_in

JSON: Final = "application/json"
LATEST: Final = "latest"
_DIGITS: Final = 18


class ChartRoutes:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._charts = registry.charts
        self._files = registry.chart_files
        self._indexes = registry.chart_indexes

    def routes(self) -> list[Route]:
        """The route table."""
        charts = "/api/{tenant}/charts"
        return [
            Route("GET", charts, self.all, "list"),
            Route("GET", charts + "/{name}", self.chart, "pull"),
            Route("GET", charts + "/{name}/{version}", self.version, "pull"),
            Route("GET", charts + "/{name}/{version}/{what}", self.inside, "pull"),
        ]

    async def all(self, request: Request, tenant: str) -> Response:
        query = request.query_params
        offset = _whole(query.get("offset"), 0, "offset is not a valid non-negative integer")
        limit = _whole(query.get("limit"), 1, "limit is not a valid positive integer")
        namespace = readable_tenant(tenant)
        index = await shown_to(request.scope["grant"], await self._indexes.of(namespace), namespace, whole=True)
        start = offset or 0
        names = list(islice(index.names(), start, None if limit is None else start + limit))
        return _json(b"{", *_listed(index, names), b"}")

    async def chart(self, request: Request, tenant: str, name: str) -> Response:
        readable_chart(tenant, name)
        found = (await self._indexes.of(readable_tenant(tenant))).chart(name)
        if found is None:
            raise no_chart()
        return _json(b"[", bytes(found), b"]")

    async def version(self, request: Request, tenant: str, name: str, version: str) -> Response:
        readable_chart(tenant, name)
        index = await self._indexes.of(readable_tenant(tenant))
        if is_chart_version(version) and index.version(name, chart_order(version)) is None:
            # who names a yanked one exactly is told that it is
            yanked = await self._indexes.of(yanked_in(readable_tenant(tenant)))
            index = index if yanked.version(name, chart_order(version)) is None else yanked
        found = index.version(name, chart_order(_select(index, name, version)))
        if found is None:
            raise no_chart()
        return _json(bytes(found))

    async def inside(self, request: Request, tenant: str, name: str, version: str, what: str) -> Response:
        if what not in ("templates", "values"):
            raise PackageNotFound("not found")
        repository = readable_chart(tenant, name)
        wanted = Release(version)
        if not is_chart_version(version):
            wanted = _select(await self._indexes.of(readable_tenant(tenant)), name, version)
        chart = await self._charts.find(repository, wanted)
        if chart is None:
            raise no_chart()
        if what == "templates":
            files, values = await self._files.templates(chart)
            shown = [{"name": file.name, "data": base64.b64encode(file.data).decode()} for file in files]
            return json_response({"templates": shown, "values": values})
        text = await self._files.values(chart)
        if text is None:
            raise PackageNotFound("values.yaml not found")
        return Response(text, media_type="application/yaml")


def _select(index: ChartIndex, name: str, version: str) -> Release:
    """The exact version, else what `latest` or a range selects. Raises PackageNotFound."""
    if is_chart_version(version) and index.version(name, chart_order(version)) is not None:
        return Release(version)
    known = [_version_of(entry) for entry in index.versions(name)]
    if version == LATEST:
        found = next((each for each in known if is_stable(each)), None)
    else:
        found = _matching(version, [each for each in known if is_release(each)])
    if found is None:
        raise no_chart()
    return found


def _matching(query: str, known: Sequence[Release]) -> Release | None:
    try:
        return resolve(query, known) if query != "default" else None
    except InvalidQuery:
        return None


class _Version(msgspec.Struct):
    version: str


_decoder = msgspec.json.Decoder(_Version)


def _version_of(entry: memoryview) -> Release:
    return Release(_decoder.decode(entry).version)


def _listed(index: ChartIndex, names: Iterable[str]) -> Iterable[bytes]:
    for at, name in enumerate(names):
        versions = index.chart(name)
        assert versions is not None
        yield (b"," if at else b"") + msgspec.json.encode(name) + b":["
        yield bytes(versions)
        yield b"]"


def _json(*parts: bytes) -> Response:
    return PiecesResponse(b"".join(parts), headers={"Content-Type": JSON})


def _whole(text: Any, least: int, message: str) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or len(text) > _DIGITS or int(text) < least:
        raise InvalidUsage(message)
    return int(text)

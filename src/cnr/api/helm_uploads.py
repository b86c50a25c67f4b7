"""The ChartMuseum API, what it writes: charts, provenance files, deletes. Source: contracts/oci-helm.md 5."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.helm_names import no_chart, readable_chart, writable_tenant
from cnr.domain.chart_version import is_chart_version
from cnr.domain.errors import InvalidUsage, ReleaseExists
from cnr.domain.limits import KIB
from cnr.domain.names import Repository
from cnr.domain.provenance import PROVENANCE_LIMIT, Provenance, parse_provenance
from cnr.domain.version import Release
from cnr.http.audited import note
from cnr.http.body import body_chunks
from cnr.http.json_response import json_response
from cnr.http.multipart import FORM_DATA, FormFiles
from cnr.http.routes import Route
from cnr.http.spool import Spool
from cnr.registry.registry import Registry

CHART: Final = "chart"
PROV: Final = "prov"
_FORM_BYTES: Final = 64 * KIB
"""Of a form beside its files."""


class UploadRoutes:
    """The handlers. `stall_s`: seconds after which a body that stands still is given up."""

    def __init__(self, registry: Registry, stall_s: float) -> None:
        self._uploads = registry.chart_uploads
        self._charts = registry.charts
        self._limits = registry.limits
        self._folder: Path = registry.core.spool_folder
        self._stall_s = stall_s

    def routes(self) -> list[Route]:
        """The route table."""
        charts = "/api/{tenant}/charts"
        return [
            Route("POST", charts, self.push, "push"),
            Route("POST", "/api/{tenant}/prov", self.push_provenance, "push"),
            Route("DELETE", charts + "/{name}/{version}", self.delete, "delete"),
        ]

    async def push(self, request: Request, tenant: str) -> Response:
        namespace, force = writable_tenant(tenant), "force" in request.query_params
        async with self._files(request) as files:
            chart, prov = files.get(CHART), files.get(PROV)
            provenance = _provenance(prov) if prov is not None else None
            note(request, **({"force": True} if force else {}))
            if chart is not None:
                repository, version = await self._publish(request, namespace, chart, provenance, force=force)
                note(request, repository=repository, version=version)
            elif provenance is not None:
                await self._attach(request, namespace, provenance, force)
            else:
                raise InvalidUsage("there is no file in the form: it has the fields chart and prov")
        return _saved()

    async def _attach(self, request: Request, namespace: str, provenance: Provenance, force: bool) -> None:
        place = f"{namespace}/{provenance.name}" if namespace else provenance.name
        note(request, repository=place, version=provenance.version, provenance=True)
        await self._uploads.attach(namespace, provenance, force=force, by=request.scope["grant"])

    async def _publish(
        self, request: Request, namespace: str, chart: Spool, provenance: Provenance | None, *, force: bool
    ) -> tuple[Repository, Release]:
        by = request.scope["grant"]
        try:
            return await self._uploads.publish(namespace, chart, provenance=provenance, force=force, by=by)
        except ReleaseExists as exc:
            raise ReleaseExists(f"chart already exists: {exc.message}") from None

    async def push_provenance(self, request: Request, tenant: str) -> Response:
        namespace, force = writable_tenant(tenant), "force" in request.query_params
        async with self._body(request, PROV, PROVENANCE_LIMIT) as files:
            await self._attach(request, namespace, _provenance(files[PROV]), force)
        return _saved()

    async def delete(self, request: Request, tenant: str, name: str, version: str) -> Response:
        repository = readable_chart(tenant, name)
        if not is_chart_version(version):
            raise no_chart()
        await self._charts.delete(repository, Release(version), by=request.scope["grant"])
        return json_response({"deleted": True})

    @asynccontextmanager
    async def _files(self, request: Request) -> AsyncIterator[dict[str, Spool]]:
        """The files of a form, or the body as the chart."""
        content_type = request.headers.get("content-type", "")
        most = self._limits.compressed_bytes
        if content_type.partition(";")[0].strip().lower() != FORM_DATA:
            async with self._body(request, CHART, most) as files:
                yield files
            return
        form = FormFiles((CHART, PROV), self._folder)
        limit = most + PROVENANCE_LIMIT + _FORM_BYTES
        try:
            await form.read(body_chunks(request, limit=limit, stall_s=self._stall_s), content_type)
            yield form.files
        finally:
            form.close()

    @asynccontextmanager
    async def _body(self, request: Request, name: str, limit: int) -> AsyncIterator[dict[str, Spool]]:
        spool = Spool(self._folder)
        try:
            async for chunk in body_chunks(request, limit=limit, stall_s=self._stall_s):
                spool.write(chunk)
                if spool.full:
                    await asyncio.to_thread(spool.flush)
            yield {name: spool}
        finally:
            spool.close()


def _provenance(file: Spool) -> Provenance:
    if file.size > PROVENANCE_LIMIT:
        raise InvalidUsage(f"a provenance file has at most {PROVENANCE_LIMIT:,} bytes")
    return parse_provenance(b"".join(file.chunks()))


def _saved() -> Response:
    response = json_response({"saved": True})
    response.status_code = 201
    return response

"""Archives and provenance files of the classic repository. Source: contracts/oci-helm.md section 4."""

from collections.abc import Sequence
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.helm_errors import NOT_FOUND, render
from cnr.api.helm_names import readable_chart
from cnr.domain.chart_version import split_archive_name
from cnr.domain.errors import LoginRequired, PackageNotFound
from cnr.domain.provenance import PROVENANCE
from cnr.domain.version import Release
from cnr.http.conditions import names
from cnr.http.ranges import RangeNotSatisfiable, parse_range
from cnr.http.routes import Route
from cnr.http.security import SANDBOX
from cnr.http.streaming import BlobResponse
from cnr.registry.charts import ChartFile, StoredChart
from cnr.registry.registry import Registry

GZIP: Final = "application/gzip"
SIGNATURE: Final = "application/pgp-signature"


class FileRoutes:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._charts = registry.charts

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            # A file's name is read in several ways: which charts are meant, and may be pulled, is seen further down.
            Route("GET", "/{tenant}/charts/{file}", self.file, "list"),
            Route("GET", "/{tenant}/charts/{name}/{file}", self.named_file, "pull"),
            Route("GET", "/{tenant}/channels/{channel}/charts/{file}", self.channel_file, "list"),
            Route("GET", "/{tenant}/channels/{channel}/charts/{name}/{file}", self.channel_named_file, "pull"),
        ]

    async def channel_file(self, request: Request, tenant: str, channel: str, file: str) -> Response:
        return await self.file(request, tenant, file)

    async def channel_named_file(self, request: Request, tenant: str, channel: str, name: str, file: str) -> Response:
        return await self.named_file(request, tenant, name, file)

    async def file(self, request: Request, tenant: str, file: str) -> Response:
        return await self._file(request, tenant, file, split_archive_name(file.removesuffix(PROVENANCE)))

    async def named_file(self, request: Request, tenant: str, name: str, file: str) -> Response:
        found = split_archive_name(file.removesuffix(PROVENANCE))
        return await self._file(request, tenant, file, [pair for pair in found if pair[0] == name])

    async def _file(self, request: Request, tenant: str, file: str, wanted: Sequence[tuple[str, Release]]) -> Response:
        grant, hidden = request.scope["grant"], False
        for name, version in wanted:
            repository = readable_chart(tenant, name)
            if not await grant.may_pull(repository):
                hidden = True
                continue
            chart = await self._charts.find(repository, version)
            if chart is not None:
                return await self._send(request, chart, signature=file.endswith(PROVENANCE))
        if hidden and grant.is_anybody():
            raise LoginRequired("this needs a user with the right to do it: log in")
        raise no_object()

    async def _send(self, request: Request, chart: StoredChart, *, signature: bool) -> Response:
        found = await (self._charts.provenance(chart) if signature else self._charts.archive(chart))
        if found is None:
            raise no_object()
        headers = {
            "Content-Type": SIGNATURE if signature else GZIP,
            "ETag": f'"{found.digest}"',
            "Accept-Ranges": "bytes",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": SANDBOX,
        }
        if names(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return await self._part(request, found, headers)

    async def _part(self, request: Request, file: ChartFile, headers: dict[str, str]) -> Response:
        try:
            part = parse_range(request.headers.get("range"), file.record.size)
        except RangeNotSatisfiable as exc:
            refusal = render(416, NOT_FOUND, str(exc), {})
            refusal.headers["Content-Range"] = exc.content_range
            return refusal
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(file.record.size)})
        start, stop = (part.start, part.stop) if part else (0, None)
        return BlobResponse(await self._charts.open(file, start, stop), headers=headers, part=part)


def no_object() -> PackageNotFound:
    """As ChartMuseum says it."""
    return PackageNotFound("object not found")

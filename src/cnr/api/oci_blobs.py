"""Blobs over the OCI API: read, whole or a range, and delete. Source: OCI distribution 1.1, "Pulling blobs"."""

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_errors import render
from cnr.api.oci_names import readable
from cnr.domain.digest import Digest, parse_digest
from cnr.http.ranges import Range, RangeNotSatisfiable, parse_range
from cnr.http.routes import Route
from cnr.http.streaming import BlobResponse
from cnr.registry.blob_deletes import no_blob
from cnr.registry.registry import Registry

OCTETS = "application/octet-stream"
FOREVER = "public, max-age=31536000, immutable"
"""Bytes under a digest never change."""


class BlobRoutes:
    """The handlers."""

    def __init__(self, registry: Registry) -> None:
        self._blobs = registry.blobs
        self._deletes = registry.blob_deletes

    def routes(self) -> list[Route]:
        """The route table."""
        path = "/v2/{name}/blobs/{reference}"
        return [Route("GET", path, self.get, "pull"), Route("DELETE", path, self.delete, "delete")]

    async def get(self, request: Request, name: str, reference: str) -> Response:
        repository, digest = readable(name), parse_digest(reference)
        if request.method == "HEAD":
            await self._blobs.revive(repository, digest)  # who asks so is about to name it in a manifest
        record = await self._blobs.find(repository, digest)
        if record is None:
            raise no_blob(digest)
        headers = _headers(digest)
        if matches(request, digest):
            return Response(status_code=304, headers=headers)
        try:
            part = parse_range(request.headers.get("range"), record.size)
        except RangeNotSatisfiable as exc:
            refusal = render(416, "SIZE_INVALID", str(exc), {})
            refusal.headers["Content-Range"] = exc.content_range
            return refusal
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(record.size)})
        if address := await self._blobs.address(record):
            return _elsewhere(digest, address)
        start, stop = (part.start, part.stop) if part else (0, None)
        reader = await self._blobs.read(repository, digest, record, start, stop)
        if reader.data is not None:
            return _whole(reader.data, headers, part)
        return BlobResponse(reader, headers=headers, part=part)

    async def delete(self, request: Request, name: str, reference: str) -> Response:
        await self._deletes.delete(readable(name), parse_digest(reference))
        return Response(status_code=202)


def matches(request: Request, digest: str) -> bool:
    """Whether the client has these bytes already. Source: RFC 9110 section 13.1.2."""
    wanted = request.headers.get("if-none-match", "")
    return bool(wanted) and f'"{digest}"' in (each.strip().removeprefix("W/") for each in wanted.split(","))


def _headers(digest: Digest) -> dict[str, str]:
    return {
        "Content-Type": OCTETS,
        "Docker-Content-Digest": digest,
        "ETag": f'"{digest}"',
        "Accept-Ranges": "bytes",
        "Cache-Control": FOREVER,
        "X-Content-Type-Options": "nosniff",
    }


def _elsewhere(digest: Digest, address: str) -> Response:
    # Nobody may keep it: the address expires, and the next asker may not be allowed to have it.
    headers = {"Location": address, "Docker-Content-Digest": digest, "Cache-Control": "no-store"}
    return Response(status_code=307, headers=headers)


def _whole(data: bytes, headers: dict[str, str], part: Range | None) -> Response:
    if part is None:
        return Response(data, headers=headers)
    return Response(data, 206, headers={**headers, "Content-Range": part.content_range})

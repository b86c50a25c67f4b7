"""Blobs over the OCI API: read, whole or a range, and delete. Source: OCI distribution 1.1, "Pulling blobs"."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_errors import render
from cnr.api.oci_names import readable
from cnr.domain.digest import Digest, parse_digest
from cnr.http.conditions import names
from cnr.http.ranges import Range, RangeNotSatisfiable, parse_range
from cnr.http.routes import Route
from cnr.http.security import SANDBOX
from cnr.http.streaming import BlobResponse
from cnr.http.whole import RawHeaders, WholeResponse
from cnr.registry.blob_deletes import no_blob
from cnr.registry.registry import Registry

ALWAYS: Final = (
    (b"content-type", b"application/octet-stream"),
    (b"accept-ranges", b"bytes"),
    (b"content-security-policy", SANDBOX.encode()),
)


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
        headers = _headers(digest, shared="authorization" not in request.headers)
        if names(request.headers.get("if-none-match"), f'"{digest}"'):
            response = Response(status_code=304)
            response.raw_headers.extend(headers)
            return response
        try:
            part = parse_range(request.headers.get("range"), record.size)
        except RangeNotSatisfiable as exc:
            refusal = render(416, "SIZE_INVALID", str(exc), {})
            refusal.headers["Content-Range"] = exc.content_range
            return refusal
        if request.method == "HEAD":
            return WholeResponse(b"", headers, length=record.size)
        if address := await self._blobs.address(record):
            return _elsewhere(digest, address)
        start, stop = (part.start, part.stop) if part else (0, None)
        reader = await self._blobs.read(repository, digest, record, start, stop)
        if reader.data is not None:
            return _whole(reader.data, headers, part)
        streamed = BlobResponse(reader, part=part)
        streamed.raw_headers.extend(headers)
        return streamed

    async def delete(self, request: Request, name: str, reference: str) -> Response:
        await self._deletes.delete(readable(name), parse_digest(reference), by=request.scope["grant"])
        return Response(status_code=202)


def _headers(digest: Digest, *, shared: bool) -> RawHeaders:
    """`shared`: whether caches that serve others may keep it: not what somebody showed a password for."""
    raw = digest.encode()
    kept = (b"cache-control", b"%b, max-age=31536000, immutable" % (b"public" if shared else b"private"))
    return [kept, (b"docker-content-digest", raw), (b"etag", b'"%b"' % raw), *ALWAYS]


def _elsewhere(digest: Digest, address: str) -> Response:
    # Nobody may keep it: the address expires, and the next asker may not be allowed to have it.
    headers = {"Location": address, "Docker-Content-Digest": digest, "Cache-Control": "no-store"}
    return Response(status_code=307, headers=headers)


def _whole(data: bytes, headers: RawHeaders, part: Range | None) -> Response:
    if part is None:
        return WholeResponse(data, headers)
    return WholeResponse(data, [*headers, (b"content-range", part.content_range.encode())], status_code=206)

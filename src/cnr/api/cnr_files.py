"""Package files over the CNR API: the gzip as it was pushed, or in JSON as base64.

Source: contracts/cnr.md 2.10, 2.11.
"""

import base64
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cnr.api import cnr_messages as messages
from cnr.api.cnr_names import readable
from cnr.domain.digest import TarDigest, parse_tar_digest
from cnr.domain.errors import InvalidDigest
from cnr.domain.names import PackageName
from cnr.http.conditions import names
from cnr.http.security import SANDBOX
from cnr.http.streaming import BlobResponse, StreamResponse
from cnr.registry.packages import Published, no_blob
from cnr.registry.registry import Registry
from cnr.store.base import BlobReader

GZIP = "application/x-gzip"
"""Exactly this: the Go client knows no other. Source: contracts/cnr.md 2.10."""

_PLACEHOLDER = "@"


class BlobFiles:
    """The handlers that send package files."""

    def __init__(self, registry: Registry) -> None:
        self._packages = registry.packages

    async def pull(self, request: Request, namespace: str, name: str, release: str, media_type: str) -> Response:
        found = await self._packages.find(readable(namespace, name), release, media_type)
        if _wants_json(request):
            return await self._as_json(request, found)
        file = messages.file_name(found.package, found.release)
        return await self._gzip(request, found.package, found.entry.tar_digest, file)

    async def pull_json(self, request: Request, namespace: str, name: str, release: str, media_type: str) -> Response:
        return await self._as_json(request, await self._packages.find(readable(namespace, name), release, media_type))

    async def blob(self, request: Request, namespace: str, name: str, digest: str) -> Response:
        package, wanted = await self._wanted(namespace, name, digest)
        if _wants_json(request):
            return await self._blob_as_json(request, package, wanted)
        return await self._gzip(request, package, wanted, messages.file_name(package, wanted[:8]))

    async def blob_json(self, request: Request, namespace: str, name: str, digest: str) -> Response:
        package, wanted = await self._wanted(namespace, name, digest)
        return await self._blob_as_json(request, package, wanted)

    async def _wanted(self, namespace: str, name: str, digest: str) -> tuple[PackageName, TarDigest]:
        package = readable(namespace, name)
        try:
            wanted = parse_tar_digest(digest)
        except InvalidDigest:
            raise no_blob(package, digest) from None
        await self._packages.require(package, wanted)
        return package, wanted

    async def _gzip(self, request: Request, package: PackageName, digest: TarDigest, name: str) -> Response:
        file = await self._packages.file(package, digest)
        tag = f'"{file.digest}"'
        if names(request.headers.get("if-none-match"), tag):
            return Response(status_code=304, headers={"ETag": tag})
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": GZIP, "ETag": tag}
        headers["Content-Security-Policy"] = SANDBOX
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(file.size)})
        reader = await self._packages.read(package, file)
        return BlobResponse(reader, headers=headers) if reader.data is None else Response(reader.data, headers=headers)

    async def _as_json(self, request: Request, found: Published) -> Response:
        file = messages.file_name(found.package, found.release)
        envelope = messages.PackageFile(
            blob=_PLACEHOLDER,
            filename=file,
            media_type=found.format,
            package=str(found.package),
            release=found.release,
        )
        return await self._enveloped(request, found.package, found.entry.tar_digest, envelope)

    async def _blob_as_json(self, request: Request, package: PackageName, digest: TarDigest) -> Response:
        envelope = messages.BlobFile(
            blob=_PLACEHOLDER,
            filename=messages.file_name(package, digest[:8]),
            package=str(package),
            release=digest,
        )
        return await self._enveloped(request, package, digest, envelope)

    async def _enveloped(self, request: Request, package: PackageName, digest: TarDigest, envelope: Any) -> Response:
        """`envelope` with the file's base64 in place of its blob, without ever holding the whole file."""
        before, after = msgspec.json.encode(envelope).split(_PLACEHOLDER.encode(), 1)
        file = await self._packages.file(package, digest)
        length = len(before) + 4 * -(-file.size // 3) + len(after) + 1
        headers = {"Content-Type": "application/json", "Content-Length": str(length)}
        if request.method == "HEAD":
            return Response(headers=headers)
        reader = await self._packages.read(package, file)
        return StreamResponse(_wrapped(before, reader, after + b"\n"), headers=headers)


def _wants_json(request: Request) -> bool:
    """Whether `format` in the query string, and nowhere else, is `json` exactly. Most requests have no query."""
    return bool(request.scope["query_string"]) and request.query_params.get("format") == "json"


async def _wrapped(before: bytes, reader: BlobReader, after: bytes) -> AsyncIterator[bytes]:
    yield before
    rest = b""
    async for chunk in reader.chunks:
        data = rest + chunk
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        yield base64.b64encode(data[:whole])
    yield base64.b64encode(rest) + after

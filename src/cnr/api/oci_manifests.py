"""Manifests over the OCI API. Source: OCI distribution 1.1; contracts/oci-helm.md 1.4, 6.3."""

from functools import lru_cache
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_bodies import DocumentBodies
from cnr.api.oci_names import readable, writable
from cnr.domain.digest import Digest, digest_of, parse_digest
from cnr.domain.errors import InvalidDigest, InvalidManifest, TooManyTags
from cnr.domain.names import Repository, Tag, parse_tag
from cnr.http.audited import note
from cnr.http.conditions import names
from cnr.http.routes import Route
from cnr.http.streaming import BlobResponse
from cnr.http.whole import RawHeaders, WholeResponse
from cnr.registry.references import IMAGES, INDEXES, Pushed, read_manifest
from cnr.registry.registry import Registry

TAGS_LIMIT: Final = 100
"""Tags that one request may move."""


class ManifestRoutes:
    """The handlers."""

    def __init__(self, registry: Registry, stall_s: float) -> None:
        self._images = registry.images
        self._work = registry.core.work
        self._bodies = DocumentBodies(registry.core, limit=registry.limits.manifest_bytes, stall_s=stall_s)

    def routes(self) -> list[Route]:
        """The route table."""
        path = "/v2/{name}/manifests/{reference}"
        return [
            Route("GET", path, self.get, "pull"),
            Route("PUT", path, self.put, "push"),
            Route("DELETE", path, self.delete, "delete"),
        ]

    async def get(self, request: Request, name: str, reference: str) -> Response:
        repository = readable(name)
        by_tag = ":" not in reference
        if by_tag:
            found = await self._images.resolve(repository, parse_tag(reference), index=_wants_index(_accept(request)))
        else:
            found = await self._images.get(repository, parse_digest(reference))
        headers = _headers(found.digest, found.record.media_type, by_tag)
        if names(request.headers.get("if-none-match"), f'"{found.digest}"'):
            response = Response(status_code=304)
            response.raw_headers.extend(headers)
            return response
        if request.method == "HEAD":
            return WholeResponse(b"", headers, length=found.record.size)
        reader = await self._images.open(repository, found)
        if reader.data is not None:
            return WholeResponse(reader.data, headers)
        streamed = BlobResponse(reader)
        streamed.raw_headers.extend(headers)
        return streamed

    async def put(self, request: Request, name: str, reference: str) -> Response:
        repository = writable(name)
        if ":" not in reference:
            tag = parse_tag(reference)
            async with self._bodies.read(request) as data:
                pushed = await self._work(len(data), lambda: _pushed(data, request, None))
                note(request, digest=pushed.digest)
                await self._images.put(repository, pushed, tag, by=request.scope["grant"])
            return _created(repository, pushed, [])
        digest, tags = parse_digest(reference), _tags(request)
        if tags:
            note(request, tags=" ".join(tags))
        async with self._bodies.read(request) as data:
            pushed = await self._work(len(data), lambda: _pushed(data, request, digest))
            moved = await self._images.put_by_digest(repository, pushed, tags, by=request.scope["grant"])
        return _created(repository, pushed, moved)

    async def delete(self, request: Request, name: str, reference: str) -> Response:
        repository = readable(name)
        if ":" in reference:
            await self._images.delete(repository, parse_digest(reference), by=request.scope["grant"])
        else:
            await self._images.delete_tag(repository, parse_tag(reference), by=request.scope["grant"])
        return Response(status_code=202)


def _pushed(data: bytes, request: Request, digest: Digest | None) -> Pushed:
    found = digest_of(data, digest.partition(":")[0] if digest else "sha256")
    if digest not in (None, found):
        raise InvalidDigest("the manifest does not have this digest", digest=digest)
    if not data:
        raise InvalidManifest("there is no manifest in the body")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    return read_manifest(data, media_type, found)


def _tags(request: Request) -> list[Tag]:
    tags = request.query_params.getlist("tag")
    if len(tags) > TAGS_LIMIT:
        raise TooManyTags(f"at most {TAGS_LIMIT} tags in one request", limit=TAGS_LIMIT)
    return [parse_tag(tag) for tag in tags]


def _accept(request: Request) -> str:
    """The Accept header; several of them count as one. Source: RFC 9110 section 5.3."""
    return b",".join([value for name, value in request.scope["headers"] if name == b"accept"]).decode("latin-1")


@lru_cache(maxsize=128)  # clients send few different ones, and each with every request
def _wants_index(accept: str) -> bool:
    """Whether only an index will do: Accept lists an index type, and neither an image manifest's nor a wildcard.

    Source: contracts/oci-helm.md 6.3.
    """
    listed = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    others = any("*" in kind or kind in IMAGES for kind in listed)
    return not others and any(kind in listed for kind in INDEXES)


def _headers(digest: Digest, media_type: str, by_tag: bool) -> RawHeaders:
    raw = digest.encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"docker-content-digest", raw),
        (b"etag", b'"%b"' % raw),
    ]
    return [*headers, (b"vary", b"Accept")] if by_tag else headers


def _created(repository: Repository, pushed: Pushed, tags: list[Tag]) -> Response:
    headers = {"Location": f"/v2/{repository}/manifests/{pushed.digest}", "Docker-Content-Digest": pushed.digest}
    if pushed.subject is not None:
        headers["OCI-Subject"] = pushed.subject
    response = Response(status_code=201, headers=headers)
    for tag in tags:
        response.headers.append("OCI-Tag", tag)
    return response

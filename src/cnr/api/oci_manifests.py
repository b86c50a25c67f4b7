"""Manifests over the OCI API. Source: OCI distribution 1.1; contracts/oci-helm.md 1.4, 6.3."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_blobs import matches
from cnr.api.oci_bodies import DocumentBodies
from cnr.api.oci_names import readable, writable
from cnr.domain.digest import Digest, digest_of, parse_digest
from cnr.domain.errors import InvalidDigest, InvalidManifest, TooManyTags
from cnr.domain.names import Repository, Tag, parse_tag
from cnr.http.routes import Route
from cnr.http.streaming import BlobResponse
from cnr.registry.images import Found
from cnr.registry.references import IMAGES, INDEXES, Pushed, read_manifest
from cnr.registry.registry import Registry

MANIFEST_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a manifest. Source: OCI distribution 1.1, "Pushing manifests"."""
TAGS_LIMIT: Final = 100
"""Tags that one request may move."""


class ManifestRoutes:
    """The handlers."""

    def __init__(self, registry: Registry, stall_s: float) -> None:
        self._images = registry.images
        self._bodies = DocumentBodies(registry.core, limit=MANIFEST_LIMIT, stall_s=stall_s)

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
            found = await self._images.resolve(repository, parse_tag(reference), index=_wants_index(request))
        else:
            found = await self._images.get(repository, parse_digest(reference))
        headers = _headers(found, by_tag)
        if matches(request, found.digest):
            return Response(status_code=304, headers=headers)
        if request.method == "HEAD":
            return Response(headers={**headers, "Content-Length": str(found.record.size)})
        reader = await self._images.open(repository, found)
        if reader.data is not None:
            return Response(reader.data, headers=headers)
        return BlobResponse(reader, headers=headers)

    async def put(self, request: Request, name: str, reference: str) -> Response:
        repository = writable(name)
        if ":" not in reference:
            tag = parse_tag(reference)
            async with self._bodies.read(request) as data:
                pushed = _pushed(data, request, None)
                await self._images.put(repository, pushed, tag)
            return _created(repository, pushed, [])
        digest, tags = parse_digest(reference), _tags(request)
        async with self._bodies.read(request) as data:
            pushed = _pushed(data, request, digest)
            moved = await self._images.put_by_digest(repository, pushed, tags)
        return _created(repository, pushed, moved)

    async def delete(self, request: Request, name: str, reference: str) -> Response:
        repository = readable(name)
        if ":" in reference:
            await self._images.delete(repository, parse_digest(reference))
        else:
            await self._images.delete_tag(repository, parse_tag(reference))
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


def _wants_index(request: Request) -> bool:
    """Whether only an index will do: Accept lists an index type, and neither an image manifest's nor a wildcard.

    Source: contracts/oci-helm.md 6.3.
    """
    listed = {
        part.partition(";")[0].strip().lower() for line in request.headers.getlist("accept") for part in line.split(",")
    }
    others = any("*" in kind or kind in IMAGES for kind in listed)
    return not others and any(kind in listed for kind in INDEXES)


def _headers(found: Found, by_tag: bool) -> dict[str, str]:
    headers = {
        "Content-Type": found.record.media_type,
        "Docker-Content-Digest": found.digest,
        "ETag": f'"{found.digest}"',
        "X-Content-Type-Options": "nosniff",
    }
    return headers | ({"Vary": "Accept"} if by_tag else {})


def _created(repository: Repository, pushed: Pushed, tags: list[Tag]) -> Response:
    headers = {"Location": f"/v2/{repository}/manifests/{pushed.digest}", "Docker-Content-Digest": pushed.digest}
    if pushed.subject is not None:
        headers["OCI-Subject"] = pushed.subject
    response = Response(status_code=201, headers=headers)
    for tag in tags:
        response.headers.append("OCI-Tag", tag)
    return response

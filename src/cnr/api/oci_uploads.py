"""Uploads of blobs over the OCI API: at once, in pieces, or mounted. Source: OCI distribution 1.1, "Pushing blobs"."""

import re
from collections.abc import AsyncIterator
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_names import readable, writable
from cnr.domain.access import Grant
from cnr.domain.digest import Digest, parse_digest
from cnr.domain.errors import InsufficientScope, InvalidDigest, InvalidName, InvalidSize
from cnr.domain.names import Repository
from cnr.domain.piece import Piece
from cnr.http.audited import note
from cnr.http.body import body_pieces
from cnr.http.routes import Route
from cnr.registry.registry import Registry
from cnr.registry.uploads import Upload

_CONTENT_RANGE: Final = re.compile(r"(?:bytes )?([0-9]{1,19})-([0-9]{1,19})(?:/(?:\*|[0-9]{1,19}))?", re.ASCII)
_ALGORITHMS: Final = ("sha256", "sha512")


class UploadRoutes:
    """The handlers."""

    def __init__(self, registry: Registry, stall_s: float) -> None:
        self._registry = registry
        self._uploads = registry.uploads
        self._stall_s = stall_s

    def routes(self) -> list[Route]:
        """The route table."""
        path = "/v2/{name}/blobs/uploads/"
        one = path + "{reference}"
        return [
            Route("POST", path, self.begin, "push"),
            # who may only pull has no upload to ask for
            Route("GET", one, self.status, "push"),
            Route("PATCH", one, self.append, "push"),
            Route("PUT", one, self.finish, "push"),
            Route("DELETE", one, self.cancel, "push"),
        ]

    async def begin(self, request: Request, name: str) -> Response:
        repository, query = writable(name), request.query_params
        if query.get("digest-algorithm", "sha256") not in _ALGORITHMS:
            raise InvalidDigest("the digest algorithms are sha256 and sha512")
        if "mount" in query:
            digest = parse_digest(query["mount"])
            note(request, mount=digest, **({"from": query["from"]} if "from" in query else {}))
            if await self._mount(request.scope["grant"], repository, digest, query.get("from")):
                return _created(repository, digest)
        elif "digest" in query:
            digest = parse_digest(query["digest"])
            note(request, digest=digest)
            await self._uploads.take(repository, digest, self._body(request), length=_length(request))
            return _created(repository, digest)
        return _progress(repository, await self._uploads.begin(repository, owner=_owner(request)), 202)

    async def _mount(self, grant: Grant, repository: Repository, digest: Digest, source: str | None) -> bool:
        """Whether the blob was mounted: only from where the caller may pull."""
        if source is None:
            return await self._registry.blobs.mount_any(repository, digest, grant.may_have)
        try:
            other = readable(source)
        except InvalidName:
            return False
        if not await grant.may_pull(other):
            if await grant.may_have(other):
                raise InsufficientScope("the bearer token was not made for the repository to mount from")
            return False
        return await self._registry.blobs.mount(repository, digest, other)

    async def status(self, request: Request, name: str, reference: str) -> Response:
        repository = readable(name)
        return _progress(repository, await self._uploads.find(repository, reference, owner=_owner(request)), 204)

    async def append(self, request: Request, name: str, reference: str) -> Response:
        repository = writable(name)
        upload = await self._uploads.append(
            repository,
            reference,
            self._body(request),
            at=_offset(request),
            length=_length(request),
            owner=_owner(request),
        )
        return _progress(repository, upload, 202)

    async def finish(self, request: Request, name: str, reference: str) -> Response:
        repository = writable(name)
        if "digest" not in request.query_params:
            raise InvalidDigest("the end of an upload needs ?digest= of the whole blob")
        digest = parse_digest(request.query_params["digest"])
        note(request, digest=digest)
        owner, at, length = _owner(request), _offset(request), _length(request)
        body = self._body(request)
        await self._uploads.finish(repository, reference, digest, body, at=at, length=length, owner=owner)
        return _created(repository, digest)

    async def cancel(self, request: Request, name: str, reference: str) -> Response:
        await self._uploads.cancel(writable(name), reference, owner=_owner(request))
        return Response(status_code=204)

    def _body(self, request: Request) -> AsyncIterator[Piece]:
        return body_pieces(request, limit=self._registry.limits.blob_bytes, stall_s=self._stall_s)


def _owner(request: Request) -> str:
    """Whose an upload is: nobody's where there are no accounts."""
    owner: str = request.scope["grant"].owner
    return owner


def _offset(request: Request) -> int | None:
    """Where the piece begins, as Content-Range says. Raises InvalidSize where that contradicts Content-Length."""
    header = request.headers.get("content-range")
    if header is None:
        return None
    found = _CONTENT_RANGE.fullmatch(header.strip())
    if found is None:
        raise InvalidSize("a Content-Range here is <first byte>-<last byte>")
    first, last = int(found[1]), int(found[2])
    length = request.headers.get("content-length")
    if last + 1 < first or (length is not None and length.isdecimal() and int(length[:20]) != last - first + 1):
        raise InvalidSize("Content-Range and Content-Length contradict one another")
    return first


def _length(request: Request) -> int:
    """Bytes that the request says it brings; 0 where it does not say."""
    length = request.headers.get("content-length", "")
    return int(length[:20]) if length.isdecimal() else 0


def _progress(repository: Repository, upload: Upload, status: int) -> Response:
    headers = {
        "Location": f"/v2/{repository}/blobs/uploads/{upload.id}",
        "Range": f"0-{max(upload.size - 1, 0)}",
        "Docker-Upload-UUID": upload.id,
    }
    return Response(status_code=status, headers=headers)


def _created(repository: Repository, digest: Digest) -> Response:
    headers = {"Location": f"/v2/{repository}/blobs/{digest}", "Docker-Content-Digest": digest}
    return Response(status_code=201, headers=headers)

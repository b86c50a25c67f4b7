"""A client for the OCI API of any registry."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Self
from urllib.parse import quote

import httpx
import msgspec

from cnr.client.credentials import Credentials
from cnr.client.errors import BadAnswer, NotAllowed, NotFound, Refusal
from cnr.client.oci_manifest import ACCEPTED, MANIFEST_LIMIT, Fetched, TagPage, read_manifest
from cnr.client.oci_transport import OciTransport, refuse, scope
from cnr.client.patience import Patience
from cnr.client.transport import ANSWER_LIMIT, Connection, read_body
from cnr.domain.digest import Digest, parse_digest
from cnr.domain.errors import BadInput
from cnr.domain.manifest import INDEX_TYPE, Descriptor, MediaType
from cnr.domain.names import Repository, Tag, parse_tag

TAGS_LIMIT = 500_000
REFERRERS_LIMIT = 50_000
_PAGES_LIMIT = 10_000
_PAGE = 1000
_PULL, _PUSH = "pull", "pull,push"


@dataclass(frozen=True, slots=True)
class Stored:
    """What the registry says of a manifest that was pushed. `referred`: it keeps the list of referrers itself."""

    digest: Digest
    referred: bool


class OciClient:
    """One registry over HTTP. Every method may raise Unreachable, BadAnswer and the Refusals.

    What is safe to repeat is repeated, as Patience has it; deletes are not. For several threads; close it, or use it
    as a context manager. Source: OCI distribution 1.1.
    """

    def __init__(
        self, connection: Connection, credentials: Credentials | None = None, patience: Patience | None = None
    ) -> None:
        self.registry = connection.registry
        self.patience = patience or Patience()
        self._http = OciTransport(connection, credentials or Credentials())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def speaks_oci(self) -> bool:
        """Whether the server has the OCI API: it answers `/v2/` with success, or wants to know who asks."""

        def ask() -> bool:
            with self._http.open("GET", "/v2/", "") as response:
                if response.status_code >= 500 or response.status_code == 429:
                    refuse(response, "/v2/")
                versions = response.headers.get("docker-distribution-api-version", "")
                challenged = "www-authenticate" in response.headers or "registry/2.0" in versions
                return response.is_success or (response.status_code in (401, 403) and challenged)

        try:
            return self.patience.run(ask)
        except NotAllowed:  # a token server that gives nothing without a repository's scope
            return True

    def manifest(self, repository: Repository, reference: Tag | Digest, *, accept: str = ACCEPTED) -> Fetched:
        """The manifest at a tag or digest. Raises NotFound; Damaged where the bytes are not those of the digest."""
        what = f"manifest {_named(repository, reference)}"

        def get() -> Fetched:
            with self._manifest("GET", repository, reference, headers={"Accept": accept}) as response:
                if not response.is_success:
                    refuse(response, what)
                data = read_body(response, MANIFEST_LIMIT)
                wanted = _digest(reference) or self._promised(response)
                kind = response.headers.get("content-type", "")
                return read_manifest(data, kind, digest=wanted, whose=f"the {what} of {self.registry}")

        return self.patience.run(get)

    def digest(self, repository: Repository, reference: Tag | Digest) -> Digest | None:
        """The digest of the manifest that is there; None where there is none. For a tag, as the registry says it."""

        def head() -> Digest | None:
            with self._manifest("HEAD", repository, reference, headers={"Accept": ACCEPTED}) as response:
                if response.status_code == 404:
                    return None
                if not response.is_success:
                    refuse(response, f"manifest {_named(repository, reference)}")
                return _digest(reference) or self._promised(response)

        found = self.patience.run(head)
        if found is None and not _digest(reference):
            try:
                return self.manifest(repository, reference).digest
            except NotFound:
                return None
        return found

    def put_manifest(
        self, repository: Repository, reference: Tag | Digest, data: bytes, media_type: MediaType
    ) -> Stored:
        """Pushes a manifest to a tag or digest; what it names must be there. Its digest is the registry's word."""

        def put() -> Stored:
            headers = {"Content-Type": str(media_type)}
            with self._manifest("PUT", repository, reference, headers=headers, content=data) as response:
                if response.status_code not in (200, 201, 202):
                    refuse(response, f"manifest {_named(repository, reference)}")
                digest = self._promised(response) or _digest(reference)
                return Stored(digest or Digest(""), "oci-subject" in response.headers)

        return self.patience.run(put)

    def delete_manifest(self, repository: Repository, reference: Tag | Digest) -> None:
        """Deletes a tag, or a manifest with all its tags. Raises NotFound, and Refusal where that is switched off."""
        with self._manifest("DELETE", repository, reference) as response:
            if response.status_code in (400, 405) and not _digest(reference):
                raise Refusal(f"{self.registry} does not delete a tag alone", status=response.status_code)
            if response.status_code not in (200, 202, 204):
                refuse(response, f"manifest {_named(repository, reference)}")

    @contextmanager
    def _manifest(
        self,
        method: str,
        repository: Repository,
        reference: Tag | Digest,
        *,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
    ) -> Iterator[httpx.Response]:
        actions = {"PUT": _PUSH, "DELETE": "pull,push,delete"}.get(method, _PULL)
        path = f"/v2/{repository}/manifests/{reference}"
        with self._http.open(method, path, scope(repository, actions), headers=headers, content=content) as response:
            yield response

    def _promised(self, response: httpx.Response) -> Digest | None:
        text = response.headers.get("docker-content-digest")
        if text is None:
            return None
        try:
            return parse_digest(text)
        except BadInput:
            raise BadAnswer(f"{self.registry} answers with {text[:200]!a}, which is no digest") from None

    def tags(self, repository: Repository) -> Iterator[Tag]:
        """The repository's tags, as they come, page by page. Raises NotFound; BadAnswer above TAGS_LIMIT."""
        what = f"list of tags of {repository}"
        count = 0
        for body in self._pages(f"/v2/{repository}/tags/list", repository, what, {"n": str(_PAGE)}):
            for text in self._decoded(body, TagPage, what).tags or ():
                count += 1
                if count > TAGS_LIMIT:
                    raise BadAnswer(f"{repository} at {self.registry} has more than {TAGS_LIMIT:,} tags")
                yield self._tag(text)

    def _tag(self, text: str) -> Tag:
        try:
            return parse_tag(text)
        except BadInput:
            raise BadAnswer(f"{self.registry} lists a tag that is none: {text[:200]!a}") from None

    def referrers(self, repository: Repository, digest: Digest, artifact_type: str | None = None) -> list[Descriptor]:
        """What refers to this manifest. Where the registry has no such list, what clients wrote at `referrers_tag`.

        Raises BadAnswer above REFERRERS_LIMIT. Source: OCI distribution 1.1, "Listing Referrers".
        """
        params = {"artifactType": artifact_type} if artifact_type else {}
        found: list[Descriptor] = []
        try:
            for body in self._pages(
                f"/v2/{repository}/referrers/{digest}", repository, f"list of referrers of {digest}", params
            ):
                page = read_manifest(body, INDEX_TYPE, whose=f"the list of referrers of {self.registry}")
                found += page.manifest.manifests or ()
                if len(found) > REFERRERS_LIMIT:
                    raise BadAnswer(f"{digest} at {self.registry} has more than {REFERRERS_LIMIT:,} referrers")
        except Refusal as exc:
            if exc.status not in (400, 404, 405):
                raise
            found = list(self.listed_referrers(repository, digest))
        return [each for each in found if artifact_type in (None, each.artifact_type)]

    def listed_referrers(self, repository: Repository, digest: Digest) -> tuple[Descriptor, ...]:
        """The referrers in the index at `referrers_tag`."""
        try:
            return self.manifest(repository, referrers_tag(digest)).manifest.manifests or ()
        except NotFound:
            return ()

    def _pages(self, path: str, repository: Repository, what: str, params: dict[str, str]) -> Iterator[bytes]:
        url: str | httpx.URL = path
        seen: set[str] = set()
        while True:
            body, following = self.patience.run(partial(self._page, url, repository, what, params))
            yield body
            if following is None:
                return
            if str(following) in seen or len(seen) >= _PAGES_LIMIT:
                raise BadAnswer(f"the {what} of {self.registry} does not come to an end")
            seen.add(str(following))
            url, params = following, {}

    def _page(
        self, url: str | httpx.URL, repository: Repository, what: str, params: dict[str, str]
    ) -> tuple[bytes, httpx.URL | None]:
        with self._http.open("GET", url, scope(repository, _PULL), params=params) as response:
            if not response.is_success:
                refuse(response, what)
            body = read_body(response, ANSWER_LIMIT)
            link = response.links.get("next", {}).get("url")
            return body, self._http.own(response, link, f"the next page of the {what}") if link else None

    def _decoded(self, body: bytes, kind: type[TagPage], what: str) -> TagPage:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise BadAnswer(f"the {what} of {self.registry} cannot be read") from None

    def has_blob(self, repository: Repository, blob: Descriptor) -> bool:
        """Whether the blob is there, in its size."""

        def head() -> bool:
            with self._http.open("HEAD", _blob(repository, blob.digest), scope(repository, _PULL)) as response:
                if response.status_code == 404:
                    return False
                if not response.is_success:
                    refuse(response, f"blob {blob.digest}")
                return bool(response.headers.get("content-length", str(blob.size)) == str(blob.size))

        return self.patience.run(head)

    @contextmanager
    def open_blob(self, repository: Repository, digest: Digest, start: int = 0) -> Iterator[httpx.Response]:
        """The answer with the blob from byte `start` on (206), or with all of it (200). Not repeated."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        url = _blob(repository, digest)
        with self._http.open("GET", url, scope(repository, _PULL), headers=headers) as response:
            if not response.is_success:
                refuse(response, f"blob {digest}")
            yield response

    def begin_upload(self, repository: Repository, *, mount: Digest, source: Repository | None) -> httpx.URL | None:
        """Where to send the blob's bytes; None where they could be taken from the repository `source` instead."""
        params = {"mount": mount, "from": source} if source is not None else {}
        access = scope(repository, _PUSH, mount_from=source)

        def begin() -> httpx.URL | None:
            url = f"/v2/{repository}/blobs/uploads/"
            with self._http.open("POST", url, access, params=params, content=b"") as response:
                if response.status_code == 201 and source is not None:
                    return None
                if response.status_code != 202 or "location" not in response.headers:
                    refuse(response, f"an upload to {repository}")
                return self._http.own(response, response.headers["location"], "an upload")

        return self.patience.run(begin)

    def upload(self, repository: Repository, url: httpx.URL, blob: Descriptor, chunks: Iterable[bytes]) -> None:
        """Sends all of a blob's bytes to where `begin_upload` said. Not repeated."""
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(blob.size)}
        target = url.copy_merge_params({"digest": blob.digest})
        with self._http.open("PUT", target, scope(repository, _PUSH), headers=headers, content=chunks) as response:
            if response.status_code not in (201, 202, 204):
                refuse(response, f"blob {blob.digest}")


def referrers_tag(digest: Digest) -> Tag:
    """Where clients list a manifest's referrers themselves. Source: OCI distribution 1.1, "Referrers Tag Schema"."""
    algorithm, _, encoded = digest.partition(":")
    return Tag(f"{algorithm}-{encoded[:64]}")


def _digest(reference: Tag | Digest) -> Digest | None:
    return Digest(reference) if ":" in reference else None


def _named(repository: Repository, reference: Tag | Digest) -> str:
    return f"{repository}{'@' if ':' in reference else ':'}{reference}"


def _blob(repository: Repository, digest: Digest) -> str:
    return f"/v2/{repository}/blobs/{quote(digest, safe=':')}"

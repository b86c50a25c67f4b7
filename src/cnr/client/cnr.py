"""A client for the CNR API of any server: this project's, and the old ones under `/cnr`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, Self, TypeVar
from urllib.parse import quote

import httpx

from cnr.client.challenge import is_local
from cnr.client.cnr_bearer import CnrBearer
from cnr.client.credentials import NOBODY, Credentials
from cnr.client.errors import BadAnswer, Damaged, NotFound
from cnr.client.messages import Channel, Gone, Manifest, PackageItem, SearchItem, Yanked
from cnr.client.push_body import PushBody
from cnr.client.transport import Connection, decode, fail, reaching
from cnr.domain.digest import TarDigest
from cnr.domain.names import PackageName

T = TypeVar("T")
Report = Callable[[int], None]
"""Hears how many more bytes have passed."""

ANY_FORMAT = "-"
"""Stands for the only format of a release. Source: contracts/cnr.md section 3, 6."""

_PACKAGES = "/api/v1/packages"
_SEARCH_PAGE = 100


def quiet(size: int) -> None:
    """A Report that nobody sees."""


class CnrClient:
    """One registry over HTTP. Every method may raise Unreachable, BadAnswer and the Refusals; none is retried.

    Answers are decoded into the types of `messages`, so that what is passed on has the promised fields. Close it,
    or use it as a context manager. Not for several threads at once. Source: contracts/cnr.md section 2.
    """

    def __init__(self, connection: Connection, who: Credentials = NOBODY) -> None:
        """`who` is asked for where `connection` has no token: somebody with an identity token."""
        self.registry = connection.registry
        self._http = connection.open()
        self._http.event_hooks = {"request": [self._refuse_local]}
        self._bearer = CnrBearer(connection, who) if who.identity_token else None
        if self._bearer is not None:
            self._http.auth = self._bearer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()
        if self._bearer is not None:
            self._bearer.close()

    def _refuse_local(self, request: httpx.Request) -> None:
        """Called before each request, those after a redirect included: httpx takes the header off at another host."""
        if is_local(request.url.host) and not self.registry.is_loopback:
            raise BadAnswer(f"{self.registry} redirects to an address of this machine or its network's own")

    def version(self) -> dict[str, Any]:
        """The server's versions by name, such as `cnr-api`."""
        return self._call("GET", "/version", dict[str, Any])

    def push(
        self,
        package: PackageName,
        release: str,
        format: str,
        source: BinaryIO,
        size: int,
        *,
        force: bool = False,
        metadata: dict[str, Any] | None = None,
        report: Report = quiet,
    ) -> None:
        """Publishes `size` bytes of gzipped tar, read once from `source`. Raises Exists unless `force`.

        `force` goes into the query as well, where Quay looks for it. `report` hears of the bytes of the file.
        """
        fields = {"release": release, "media_type": format, "force": str(force).lower()}
        body = PushBody(fields | ({"metadata": metadata} if metadata else {}), source, size, report)
        headers = {"Content-Type": "application/json", "Content-Length": str(body.size)}
        self._call("POST", _path(package), Any, params={"force": fields["force"]}, content=body, headers=headers)

    def packages(
        self,
        *,
        namespace: str | None = None,
        query: str | None = None,
        format: str | None = None,
        user: str | None = None,
    ) -> list[PackageItem]:
        """The packages that match all that is given, by name."""
        params = {"namespace": namespace, "query": query, "media_type": format, "username": user}
        return self._call("GET", _PACKAGES, list[PackageItem], params=params)

    def search(self, query: str, *, limit: int) -> list[SearchItem]:
        """At most `limit` packages for `query`, best first; an old server's matches in names, unranked."""
        found: list[SearchItem] = []
        path, params = "/api/v1/search", {"q": query, "limit": str(min(limit, _SEARCH_PAGE))}
        try:
            while len(found) < limit:
                page, after = self._search_page(path, params)
                found += page
                if after is None or not page:
                    break
                params = params | {"after": after}
        except NotFound:
            names = self._call("GET", f"{_PACKAGES}/search", list[str], params={"q": query})
            found = [SearchItem(name=name) for name in names if name]
        return found[:limit]

    def _search_page(self, path: str, params: dict[str, str]) -> tuple[list[SearchItem], str | None]:
        with self._open("GET", path, params=params) as response:
            page = decode(response, list[SearchItem])
            following = response.links.get("next", {}).get("url")
        return page, httpx.URL(following).params.get("after") if following else None

    def releases(self, package: PackageName, *, format: str | None = None) -> list[Manifest]:
        """All manifests of a package, the newest push last. Raises NotFound."""
        answer = self._call("GET", _path(package), list[Manifest | list[Manifest]], params={"media_type": format})
        nested = (item if isinstance(item, list) else [item] for item in answer)
        return [manifest for group in nested for manifest in group if format in (None, manifest.format)]

    def manifests(self, package: PackageName, release: str, *, format: str | None = None) -> list[Manifest]:
        """The manifests of exactly this release, one per format. Raises NotFound."""
        found = self._call("GET", _path(package, release), list[Manifest], params={"media_type": format})
        return [manifest for manifest in found if format in (None, manifest.format)]

    def show(self, package: PackageName, query: str, format: str = ANY_FORMAT) -> Manifest:
        """The manifest of the highest release that `query` selects, and the channels that stand on it."""
        return self._call("GET", _path(package, query, format), Manifest)

    def delete(self, package: PackageName, release: str, format: str) -> Gone:
        """Deletes one format of exactly this release. Raises NotFound."""
        return self._call("DELETE", _path(package, release, format), Gone)

    def yank(self, package: PackageName, release: str, reason: str) -> Yanked:
        """Yanks exactly this release. Raises NotFound."""
        return self._call("POST", _path(package, release, "yank"), Yanked, json={"reason": reason})

    def restore(self, package: PackageName, release: str) -> Yanked:
        """Takes a yank back. Raises NotFound."""
        return self._call("DELETE", _path(package, release, "yank"), Yanked)

    def channels(self, package: PackageName) -> list[Channel]:
        """The package's channels; none where the server answers 404 for that (old ones do)."""
        try:
            return self._call("GET", _path(package, "channels", ""), list[Channel])
        except NotFound as exc:
            if exc.code == "package-not-found":
                raise
            return []

    def channel(self, package: PackageName, name: str) -> Channel:
        """One channel. Raises NotFound."""
        return self._call("GET", _path(package, "channels", name), Channel)

    def add_to_channel(self, package: PackageName, name: str, release: str) -> Channel:
        """Makes exactly `release` the channel's current one; creates the channel. Raises NotFound."""
        return self._call("POST", _path(package, "channels", name, release), Channel)

    def remove_from_channel(self, package: PackageName, name: str, release: str) -> dict[str, Any]:
        """Takes `release` out of the channel; the last one takes the channel along. Raises NotFound."""
        return self._call("DELETE", _path(package, "channels", name, release), dict[str, Any])

    def delete_channel(self, package: PackageName, name: str) -> dict[str, Any]:
        """Deletes the channel; its releases stay. Raises NotFound."""
        return self._call("DELETE", _path(package, "channels", name), dict[str, Any])

    def download(
        self, package: PackageName, digest: TarDigest, out: BinaryIO, *, limit: int, report: Report = quiet
    ) -> int:
        """Writes the gzip file of this content to `out` as it comes, and returns its size in bytes. Nothing is checked.

        Raises NotFound; Damaged as soon as more than `limit` bytes have come; OSError when `out` takes no more.
        """
        size = 0
        with self._open("GET", _path(package, "blobs", "sha256", digest)) as response:
            if not response.is_success:
                fail(response)
            for chunk in response.iter_raw():
                size += len(chunk)
                if size > limit:
                    raise Damaged(f"{self.registry} sends more than the {limit:,} bytes that this package may have")
                out.write(chunk)
                report(len(chunk))
        return size

    def _call(self, method: str, path: str, kind: type[T], **request: Any) -> T:
        with self._open(method, path, **request) as response:
            return decode(response, kind)

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        *,
        params: dict[str, str | None] | dict[str, str] | None = None,
        **request: Any,
    ) -> Iterator[httpx.Response]:
        given = {name: value for name, value in (params or {}).items() if value is not None}
        with reaching(self.registry):
            built = self._http.build_request(method, path, params=given or None, **request)
            response = self._http.send(built, stream=True, follow_redirects=method == "GET")
            try:
                yield response
            finally:
                response.close()


def _path(package: PackageName, *parts: str) -> str:
    return "/".join((_PACKAGES, package.namespace, package.name, *(quote(part, safe="") for part in parts)))

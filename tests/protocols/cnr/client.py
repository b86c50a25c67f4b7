"""Requests to the CNR API as a test writes them, and what every answer of it must look like."""

import http.client
import itertools
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import httpx
from tests.protocols.cnr.packages import b64, chart

P: Final = "/api/v1/packages"
UNSET: Final = object()
"""As a field of a push: leave it out."""


class Cnr:
    """The API under one prefix of one server. Every method is one request and returns its answer unchecked."""

    def __init__(self, http_client: httpx.Client, prefix: str) -> None:
        self.http = http_client
        self.prefix = prefix
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def fresh(self) -> str:
        """A package name, in a namespace of its own, that nobody has used."""
        return f"t{self._run}-{next(self._numbers)}/app"

    def site(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """A request below the prefix."""
        return self.http.request(method, self.prefix + path, **options)

    def get(self, path: str = "", **options: Any) -> httpx.Response:
        """GET below `/api/v1/packages`."""
        return self.site(P + path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """POST below `/api/v1/packages`."""
        return self.site(P + path, "POST", **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        """DELETE below `/api/v1/packages`."""
        return self.site(P + path, "DELETE", **options)

    def push(
        self,
        package: str,
        release: object = "1.0.0",
        media_type: object = "helm",
        *,
        blob: bytes | None = None,
        query: str = "",
        **fields: object,
    ) -> httpx.Response:
        """Push a package (a small chart if none is given) as JSON; UNSET leaves a field out."""
        blob = chart(f"{package} {release} {media_type}") if blob is None else blob
        body = {"blob": b64(blob), "release": release, "media_type": media_type, **fields}
        return self.post(f"/{package}{query}", json={k: v for k, v in body.items() if v is not UNSET})

    def pushed(self, package: str, *releases: str, media_type: str = "helm") -> None:
        """Push these releases, each with a chart of its own."""
        for release in releases:
            done(self.push(package, release, media_type))

    def show(self, package: str, release: str = "1.0.0", media_type: str = "helm") -> httpx.Response:
        """Show one release in one format."""
        return self.get(f"/{package}/{release}/{media_type}")

    def names(self, namespace: str) -> list[str]:
        """The packages of a namespace, as the list shows them."""
        return [item["name"] for item in done(self.get(params={"namespace": namespace}))]

    def raw(self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> "Raw":
        """A request whose path goes out exactly as written here, prefix in front."""
        return exchange(self.http.base_url, method, self.prefix + path, headers, body)


class Raw:
    """An answer read from a socket. `body` is what came before the end of the connection or of its length."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status_code = answer.status
        self.headers = httpx.Headers(answer.getheaders())
        self.content = answer.read()

    def json(self) -> Any:
        """The body as JSON."""
        return httpx.Response(self.status_code, content=self.content).json()


Answer = httpx.Response | Raw


def exchange(url: httpx.URL, method: str, target: str, headers: Mapping[str, str] | None, body: bytes) -> Raw:
    """One request on a connection of its own; nothing of it is checked, quoted or normalised."""
    lines = {
        "Host": f"{url.host}:{url.port}",
        "Connection": "close",
        "Content-Length": str(len(body)),
        **(headers or {}),
    }
    head = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    with connected(url) as connection:
        connection.sendall(head.encode("utf-8", "surrogateescape") + b"\r\n" + body)
        answer = http.client.HTTPResponse(connection, method=method)
        answer.begin()
        return Raw(answer)


@contextmanager
def connected(url: httpx.URL) -> Iterator[socket.socket]:
    """A connection to the server."""
    with socket.create_connection((url.host, url.port or 80), timeout=60) as connection:
        yield connection


def done(answer: Answer) -> Any:
    """The JSON of an answer that must be a success: courier and OMPS take nothing but 200 for one."""
    assert answer.status_code == 200, answer.content
    assert answer.headers["content-type"].startswith("application/json")
    return answer.json()


def refused(answer: Answer, status: int, code: str, **details: object) -> dict[str, Any]:
    """The `error` object of an answer that must be this error, with at least these details.

    Source: contracts/cnr.md section 5 and case 74: `error` is an object, courier crashes on anything else.
    """
    assert answer.status_code == status, answer.content
    error = error_of(answer)
    assert error["code"] == code, error
    assert {name: error["details"].get(name, UNSET) for name in details} == details
    return error


def error_of(answer: Answer) -> dict[str, Any]:
    """The `error` object, which must have the one shape that all errors have."""
    assert answer.headers["content-type"].startswith("application/json"), answer.content
    assert list(answer.json()) == ["error"]
    error: dict[str, Any] = answer.json()["error"]
    assert sorted(error) == ["code", "details", "message"]
    assert isinstance(error["code"], str)
    assert isinstance(error["message"], str)
    assert error["code"]
    assert error["message"]
    assert isinstance(error["details"], dict)
    return error

"""HTTP to an OCI registry: authorization, redirects and errors, for all requests alike.

Credentials go to the registry and nowhere else: not along a redirect to another host, and a redirect or upload
address never leads from afar to this machine. Source: OCI distribution 1.1; design/hostile-inputs.md.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NoReturn

import httpx
import msgspec

from cnr.client.authorizer import Authorizer
from cnr.client.challenge import is_local
from cnr.client.credentials import Credentials
from cnr.client.errors import BadAnswer, Exists, NotAllowed, NotFound, Refusal, Unreachable
from cnr.client.transport import RETRIED_STATUSES, Connection, reaching, read_body, retry_after
from cnr.domain.names import Repository

_REDIRECTS = 5
_ERROR_LIMIT = 64 * 1024
_MESSAGE_LIMIT = 500
_REFUSALS: dict[int, type[Refusal]] = {401: NotAllowed, 403: NotAllowed, 404: NotFound, 409: Exists}


class _Error(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Error]


def scope(repository: Repository, actions: str, *, mount_from: Repository | None = None) -> str:
    """The access that a request needs, as token servers name it. Source: distribution, "Token Scope"."""
    own = f"repository:{repository}:{actions}"
    return own if mount_from is None else f"{own} repository:{mount_from}:pull"


class OciTransport:
    """Requests to one registry. For several threads; close it when done."""

    def __init__(self, connection: Connection, credentials: Credentials) -> None:
        self.registry = connection.registry
        self._origin = httpx.URL(connection.registry.url)
        self._http = replace(connection, prefix="", token=None).open()
        self._authorizer = Authorizer(connection.registry, self._http, credentials, insecure=connection.insecure)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    @contextmanager
    def open(
        self,
        method: str,
        url: str | httpx.URL,
        scope: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterable[bytes] | None = None,
        params: Mapping[str, str] | None = None,
    ) -> Iterator[httpx.Response]:
        """The answer, whatever its status, with its body unread. `url` is a path, or an address that `own` gave.

        A body that is no bytes is sent once: where the registry wants another token for it, this is Unreachable, and
        the next attempt has it. Raises Unreachable, BadAnswer, NotAllowed.
        """
        address = self._origin.join(url)
        request: dict[str, Any] = {"headers": dict(headers or {}), "content": content}
        if params:
            address = address.copy_merge_params(dict(params))
        with reaching(self.registry):
            response = self._authorized(method, address, scope, request)
            try:
                if method in ("GET", "HEAD"):
                    response = self._followed(response, method, request["headers"])
                yield response
            finally:
                response.close()

    def _authorized(self, method: str, url: httpx.URL, scope: str, request: dict[str, Any]) -> httpx.Response:
        sent = self._authorizer.header(scope)
        response = self._send(method, url, sent, request)
        if response.status_code != 401 or not self._met(response, scope, sent):
            return response
        response.close()
        if request["content"] is not None and not isinstance(request["content"], bytes):
            raise Unreachable(f"{self.registry} wants a new token", retry_after=0.0)
        return self._send(method, url, self._authorizer.header(scope), request)

    def _met(self, response: httpx.Response, scope: str, sent: str | None) -> bool:
        try:
            return self._authorizer.meet(response, scope, sent)
        except BaseException:
            response.close()
            raise

    def _send(self, method: str, url: httpx.URL, authorization: str | None, request: dict[str, Any]) -> httpx.Response:
        headers = request["headers"] | ({"Authorization": authorization} if authorization else {})
        built = self._http.build_request(method, url, headers=headers, content=request["content"])
        return self._http.send(built, stream=True)

    def _followed(self, response: httpx.Response, method: str, headers: dict[str, str]) -> httpx.Response:
        for _ in range(_REDIRECTS):
            if not response.has_redirect_location:
                return response
            response.close()
            target = self._redirect(response)
            same = _origin(target) == _origin(self._origin)
            sent = response.request.headers.get("authorization") if same else None
            response = self._send(method, target, sent, {"headers": headers, "content": None})
        if response.has_redirect_location:
            response.close()
            raise BadAnswer(f"{self.registry} redirects more than {_REDIRECTS} times")
        return response

    def _redirect(self, response: httpx.Response) -> httpx.URL:
        try:
            target = response.url.join(response.headers["location"])
        except httpx.InvalidURL:
            raise BadAnswer(f"{self.registry} redirects to an address that is none") from None
        if target.scheme not in ("http", "https") or (response.url.scheme == "https" and target.scheme == "http"):
            raise BadAnswer(f"{self.registry} redirects from https to {target.scheme}:, which is refused")
        if is_local(target.host) and not self.registry.is_loopback:
            raise BadAnswer(f"{self.registry} redirects to an address of this machine or its network's own")
        return target

    def own(self, response: httpx.Response, location: str, what: str) -> httpx.URL:
        """An address that the registry names for a next request: only one of its own. Raises BadAnswer."""
        try:
            target = response.url.join(location)
        except httpx.InvalidURL:
            target = httpx.URL("")
        if _origin(target) != _origin(self._origin):
            raise BadAnswer(f"{self.registry} sends {what} to another host, {target.host[:200]!a}, which is refused")
        return target


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)


def refuse(response: httpx.Response, what: str) -> NoReturn:
    """Raises what an answer that is no success means; `what` was asked for or sent."""
    host, status = response.request.url.netloc.decode("ascii"), response.status_code
    error = _error(response)
    said = error.message[:_MESSAGE_LIMIT] or f"{status} {response.reason_phrase}".strip()
    if status in RETRIED_STATUSES:
        raise Unreachable(f"{host} is not available now: {said}", retry_after=retry_after(response))
    if response.has_redirect_location or status < 400:
        raise BadAnswer(f"{host} answered {status} for {what}, not as an OCI registry does")
    kind = _REFUSALS.get(status, Refusal)
    sentences = {
        NotFound: f"{host} has no {what}" + (f": {said}" if error.message else ""),
        NotAllowed: f"{host} does not allow this for {what}: {said}",
    }
    raise kind(sentences.get(kind, f"{host} refuses {what}: {said}"), status=status, code=error.code)


def _error(response: httpx.Response) -> _Error:
    if response.request.method == "HEAD":
        return _Error()
    try:
        errors = msgspec.json.decode(read_body(response, _ERROR_LIMIT, cut=True), type=_Errors).errors
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Error()
    return errors[0] if errors else _Error()

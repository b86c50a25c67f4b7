"""Bearer tokens for the CNR API of a registry that has a token server, for who has an identity token alone.

Its API does not say where tokens are to be had, so `/v2/` is asked: `docker login` leaves such credentials.
"""

from collections.abc import Generator
from dataclasses import replace

import httpx

from cnr.client.authorizer import Authorizer
from cnr.client.credentials import Credentials
from cnr.client.transport import Connection, reaching

_PACKAGES = "/api/v1/packages/"
_CATALOG = "registry:catalog:*"


class CnrBearer(httpx.Auth):
    """Gives each request a token for what it is about. `connection` is that of the requests."""

    def __init__(self, connection: Connection, who: Credentials) -> None:
        self._registry = connection.registry
        self._http = replace(connection, prefix="", token=None).open()
        self._tokens = Authorizer(connection.registry, self._http, who, insecure=connection.insecure)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if header := self._header(_scope(request.url.path)):
            request.headers["Authorization"] = header
        yield request

    def _header(self, scope: str) -> str | None:
        if header := self._tokens.header(scope):
            return header
        with reaching(self._registry):
            challenge = self._http.get("/v2/")
        if challenge.status_code == httpx.codes.UNAUTHORIZED and self._tokens.meet(challenge, scope, None):
            return self._tokens.header(scope)
        return None


def _scope(path: str) -> str:
    """Of a package, or of the whole list. Source: distribution, "Token Scope Documentation"."""
    parts = path.partition(_PACKAGES)[2].split("/")
    return f"repository:{parts[0]}/{parts[1]}:pull,push" if len(parts) > 1 else _CATALOG

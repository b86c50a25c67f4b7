"""The OCI distribution API over the registry. Source: OCI distribution 1.1; contracts/oci-helm.md section 1."""

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from cnr.api.oci_blobs import BlobRoutes
from cnr.api.oci_challenge import Scheme, challenge
from cnr.api.oci_errors import CODES, ERRORS, render
from cnr.api.oci_lists import ListRoutes
from cnr.api.oci_manifests import ManifestRoutes
from cnr.api.oci_router import OciRouter
from cnr.api.oci_token import TokenRoutes
from cnr.api.oci_uploads import UploadRoutes
from cnr.auth.token_service import TokenService
from cnr.domain.audit import Record
from cnr.domain.errors import InvalidName
from cnr.domain.names import Repository, parse_repository
from cnr.http.adapter import Adapter, Authorize
from cnr.http.admission import Admission
from cnr.http.audited import note_login
from cnr.http.json_response import json_response
from cnr.http.routes import Route
from cnr.http.security import NOSNIFF
from cnr.registry.registry import Registry

VERSION_HEADER = (b"docker-distribution-api-version", b"registry/2.0")
"""On every answer: old clients look for it."""


def adapter(
    registry: Registry,
    authorize: Authorize,
    *,
    stall_s: float,
    tokens: TokenService | None = None,
    scheme: Scheme = "bearer",
    public_url: str = "",
    record: Record | None = None,
    admission: Admission | None = None,
) -> Adapter:
    """The OCI API as an ASGI application. `stall_s`: seconds after which a body that stands still is given up.

    `tokens` is the token service of a registry that has accounts; `scheme` is what its challenges ask for.
    """
    routes = [
        # Clients learn here, and only here, whether and how to log in. Source: contracts/oci-helm.md section 2.
        Route("GET", "/v2/", base, "login", login=True),
        Route("GET", "/v2/_oci/ext/discover", extensions, "public"),
        *UploadRoutes(registry, stall_s).routes(),
        *BlobRoutes(registry).routes(),
        *ManifestRoutes(registry, stall_s).routes(),
        # Who may log in is asked to, or some clients would never show him more than the public ones.
        *ListRoutes(registry, "catalog" if scheme == "bearer" else "list").routes(),
        *(TokenRoutes(tokens, stall_s).routes() if tokens is not None else ()),
    ]
    return Adapter(
        OciRouter(routes),
        errors=ERRORS,
        render=render,
        authorize=authorize,
        locate=locate,
        challenge=challenge(scheme, public_url),
        codes=CODES,
        headers=(VERSION_HEADER, NOSNIFF),
        protocol="oci",
        record=record,
        admission=admission,
    )


async def base(request: Request) -> Response:
    """That this is a registry. Who shows his password here logs in; a bearer token was made by another login."""
    if request.headers.get("authorization", "").lower().startswith("basic "):
        note_login(request, request.scope["grant"].who)
    return json_response({})


async def extensions(request: Request) -> Response:
    """Which extensions there are: none."""
    return json_response({"extensions": []})


def locate(values: Mapping[str, str]) -> Repository | None:
    """The repository that a route's variables name, for authorisation."""
    try:
        return parse_repository(values["name"])
    except (KeyError, InvalidName):
        return None

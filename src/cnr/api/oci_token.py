"""The token service over HTTP. Source: distribution's token and OAuth2 specifications; contracts/oci-helm.md 2."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from cnr.auth.bearer import LIFETIME_S
from cnr.auth.scopes import Scope, parse_scopes
from cnr.auth.token_service import Issued, TokenService
from cnr.domain.errors import InvalidUsage
from cnr.http.admission import address_of
from cnr.http.audited import note, note_claim, note_login
from cnr.http.body import body_chunks
from cnr.http.json_response import json_response
from cnr.http.routes import Route

PATH: Final = "/token"
_FORM_BYTES: Final = 64 * 1024
_FIELDS: Final = 100
_SECRET: Final = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenRoutes:
    """The handlers: both are open to all, since credentials come in their own way."""

    def __init__(self, service: TokenService, stall_s: float) -> None:
        self._service = service
        self._stall_s = stall_s

    def routes(self) -> list[Route]:
        """The route table."""
        return [
            Route("GET", PATH, self.get, "public", login=True),
            Route("POST", PATH, self.post, "public", login=True),
        ]

    async def get(self, request: Request) -> Response:
        query = request.query_params
        scopes = parse_scopes(query.getlist("scope"))
        _note(request, scopes)
        issued = await self._service.for_header(
            request.headers.get("authorization"),
            scopes,
            offline=query.get("offline_token") == "true",
            address=address_of(request.scope),
        )
        return _answer(request, issued)

    async def post(self, request: Request) -> Response:
        fields = await self._form(request)
        scopes = parse_scopes(value for name, value in fields if name == "scope")
        _note(request, scopes)
        given = dict(fields)
        match given.get("grant_type"):
            case "password":
                name, password = given.get("username", ""), given.get("password", "")
                note_claim(request, name)
                address = address_of(request.scope)
                issued = await self._service.for_password(name, password, scopes, address=address)
                return _answer(request, issued)
            case "refresh_token":
                note_claim(request, "")
                return _answer(request, await self._service.for_refresh(given.get("refresh_token", ""), scopes))
        raise InvalidUsage("grant_type is password or refresh_token")

    async def _form(self, request: Request) -> list[tuple[str, str]]:
        chunks = body_chunks(request, limit=_FORM_BYTES, stall_s=self._stall_s)
        body = b"".join([chunk async for chunk in chunks])
        try:
            return parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_FIELDS)
        except ValueError:
            raise InvalidUsage("the form cannot be read") from None


def _note(request: Request, scopes: Sequence[Scope]) -> None:
    if scopes:
        note(request, scopes=" ".join(f"{each.name}:{','.join(each.actions)}" for each in scopes))


def _answer(request: Request, issued: Issued) -> Response:
    note_login(request, issued.who)
    at = datetime.fromtimestamp(issued.issued_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    body: dict[str, Any] = {"token": issued.token, "access_token": issued.token, "expires_in": LIFETIME_S}
    body |= {"issued_at": at, "scope": "", "token_type": "Bearer"}
    if issued.refresh_token is not None:
        body["refresh_token"] = issued.refresh_token
    return json_response({name: value for name, value in body.items() if value != ""}, _SECRET)

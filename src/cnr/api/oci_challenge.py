"""What a 401 asks for: one scheme in a deployment, since some clients read only the first.

Source: contracts/oci-helm.md section 2.
"""

from collections.abc import Callable
from typing import Final, Literal

from starlette.requests import Request

from cnr.api.oci_token import PATH
from cnr.auth.bearer import SERVICE
from cnr.domain.access import Access
from cnr.domain.errors import InsufficientScope, InvalidName, TokenRefused, Unauthorized
from cnr.domain.names import parse_repository
from cnr.http.addresses import base_of

Scheme = Literal["bearer", "basic"]
BASIC: Final = f'Basic realm="{SERVICE}", charset="UTF-8"'
_ACTIONS: Final = {"pull": "pull", "push": "pull,push", "delete": "delete"}


def challenge(scheme: Scheme, public_url: str) -> Callable[[Request, Unauthorized, Access], str]:
    """Makes the header of a 401. `public_url` is where clients reach this server, if that is set."""

    def bearer(request: Request, error: Unauthorized, access: Access) -> str:
        if request.scope["route"] == PATH:
            return BASIC  # what the token service itself takes
        parts = [f'realm="{public_url or base_of(request)}{PATH}"', f'service="{SERVICE}"']
        if scope := _scope(request, access):
            parts.append(f'scope="{scope}"')
        if isinstance(error, TokenRefused):
            parts.append('error="invalid_token"')
        elif isinstance(error, InsufficientScope):
            parts.append('error="insufficient_scope"')
        return f"Bearer {','.join(parts)}"

    return bearer if scheme == "bearer" else lambda request, error, access: BASIC


def _scope(request: Request, access: Access) -> str:
    """What a token must be made for to be let in; of checked names only."""
    if request.scope["route"] == "/v2/_catalog":
        return "registry:catalog:*"
    if access.repository is None or access.action not in _ACTIONS:
        return ""
    scope = f"repository:{access.repository}:{_ACTIONS[access.action]}"
    source = request.query_params.get("from") if "mount" in request.query_params else None
    if source is None:
        return scope
    try:
        return f"{scope} repository:{parse_repository(source)}:pull"
    except InvalidName:
        return scope

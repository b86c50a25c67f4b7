"""How the classic Helm repository and the ChartMuseum API report errors: `{"error": "text"}`.

Source: contracts/oci-helm.md section 5; the codes are for the log, ChartMuseum has none.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from cnr.domain import errors
from cnr.http.adapter import Codes
from cnr.http.errors import ErrorTable, Wire

ERRORS: ErrorTable = {
    errors.TooLarge: Wire(413, "too-large"),
    errors.BadInput: Wire(400, "bad-request"),
    errors.Missing: Wire(404, "not-found"),
    errors.ReadOnly: Wire(405, "read-only"),
    errors.Conflict: Wire(409, "exists"),
    errors.Immutable: Wire(409, "exists"),
    errors.Unauthorized: Wire(401, "unauthorized"),
    errors.Denied: Wire(403, "forbidden"),
    errors.TooMany: Wire(429, "too-many-requests", retry_after_s=1),
    errors.StoreFull: Wire(507, "full"),
    errors.StoreUnavailable: Wire(503, "unavailable", retry_after_s=2),
    errors.OutcomeUnknown: Wire(503, "unavailable", retry_after_s=2),
    errors.StoreTrouble: Wire(500, "internal-error"),
}

NOT_FOUND = "not-found"
NO_ROUTE = "no-route"
CODES = Codes(route_not_found=NO_ROUTE, method_not_allowed="method-not-allowed", internal="internal-error")


_FIXED: Mapping[str, str] = {NO_ROUTE: "not found", "unauthorized": "unauthorized"}
"""What ChartMuseum says, for the codes of these."""


class Body(msgspec.Struct, frozen=True):
    """What every error answer has."""

    error: str


def render(status: int, code: str, message: str, details: Mapping[str, Any]) -> Response:
    """An error as the JSON object that ChartMuseum's clients show."""
    message = _FIXED.get(code, message)
    return Response(msgspec.json.encode(Body(message)), status, media_type="application/json")

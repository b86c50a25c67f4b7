"""How the CNR API reports errors: one table, one renderer. Source: contracts/cnr.md section 5."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from cnr.api.cnr_messages import Error, ErrorBody
from cnr.domain import errors
from cnr.http.adapter import Codes
from cnr.http.errors import ErrorTable, Wire

ERRORS: ErrorTable = {
    errors.InvalidRelease: Wire(422, "invalid-release"),
    errors.InvalidQuery: Wire(422, "invalid-release"),
    errors.InvalidArchive: Wire(422, "invalid-parameters"),
    errors.TooLarge: Wire(413, "payload-too-large"),
    errors.BadInput: Wire(400, "invalid-usage"),
    errors.ReleaseNotFound: Wire(404, "package-release-not-found"),
    errors.ChannelNotFound: Wire(404, "channel-not-found"),
    errors.AccountNotFound: Wire(404, "account-not-found"),
    errors.Missing: Wire(404, "package-not-found"),
    errors.ReadOnly: Wire(405, "read-only"),
    errors.Conflict: Wire(409, "package-exists"),
    errors.NameTaken: Wire(409, "resource-in-use"),
    errors.ChangedMeanwhile: Wire(412, "precondition-failed"),
    errors.LastAdministrator: Wire(409, "resource-in-use"),
    errors.RecordFull: Wire(409, "resource-in-use"),
    errors.LoginRequired: Wire(403, "forbidden"),
    errors.InsufficientScope: Wire(403, "forbidden"),
    errors.Unauthorized: Wire(401, "unauthorized-access"),
    errors.Denied: Wire(403, "forbidden"),
    errors.TooMany: Wire(429, "too-many-requests", retry_after_s=1),
    errors.StoreFull: Wire(507, "insufficient-storage"),
    errors.StoreUnavailable: Wire(503, "unavailable", retry_after_s=2),
    errors.OutcomeUnknown: Wire(503, "unavailable", retry_after_s=2),
    errors.StoreTrouble: Wire(500, "internal-error"),
}

CODES = Codes(route_not_found="resource-not-found", method_not_allowed="method-not-allowed", internal="internal-error")


def render(status: int, code: str, message: str, details: Mapping[str, Any]) -> Response:
    """An error as the wrapped JSON object that the API's clients read."""
    body = msgspec.json.encode(Error(ErrorBody(code, message, dict(details))))
    return Response(msgspec.json.format(body, indent=2) + b"\n", status, media_type="application/json")

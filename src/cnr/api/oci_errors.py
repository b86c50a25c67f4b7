"""How the OCI API reports errors: one table, one renderer. Source: OCI distribution 1.1, "Error codes";
contracts/oci-helm.md 1.2.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

from cnr.domain import errors
from cnr.http.adapter import Codes
from cnr.http.errors import ErrorTable, Wire

ERRORS: ErrorTable = {
    errors.InvalidName: Wire(400, "NAME_INVALID"),
    errors.InvalidDigest: Wire(400, "DIGEST_INVALID"),
    errors.InvalidManifest: Wire(400, "MANIFEST_INVALID"),
    errors.ReferenceMissing: Wire(400, "MANIFEST_BLOB_UNKNOWN"),
    errors.InvalidSize: Wire(400, "SIZE_INVALID"),
    errors.TooLarge: Wire(413, "SIZE_INVALID"),
    errors.TooManyTags: Wire(414, "UNSUPPORTED"),
    errors.BadInput: Wire(400, "UNSUPPORTED"),
    errors.RepositoryNotFound: Wire(404, "NAME_UNKNOWN"),
    errors.PackageNotFound: Wire(404, "BLOB_UNKNOWN"),
    errors.BlobUnknown: Wire(404, "BLOB_UNKNOWN"),
    errors.UploadNotFound: Wire(404, "BLOB_UPLOAD_UNKNOWN"),
    errors.Missing: Wire(404, "MANIFEST_UNKNOWN"),
    errors.OutOfOrder: Wire(416, "BLOB_UPLOAD_INVALID"),
    errors.BlobInUse: Wire(405, "UNSUPPORTED"),
    errors.ReadOnly: Wire(405, "UNSUPPORTED"),
    errors.Conflict: Wire(409, "DENIED"),
    errors.Unauthorized: Wire(401, "UNAUTHORIZED"),
    errors.Denied: Wire(403, "DENIED"),
    errors.TooMany: Wire(429, "TOOMANYREQUESTS", retry_after_s=1),
    errors.StoreFull: Wire(507, "UNAVAILABLE"),
    errors.StoreUnavailable: Wire(503, "UNAVAILABLE", retry_after_s=2),
    errors.OutcomeUnknown: Wire(503, "UNAVAILABLE", retry_after_s=2),
    errors.StoreTrouble: Wire(500, "UNKNOWN"),
}

CODES = Codes(route_not_found="NAME_UNKNOWN", method_not_allowed="UNSUPPORTED", internal="UNKNOWN")


class Entry(msgspec.Struct, frozen=True):
    """One error: its code for programs, its message for people."""

    code: str
    message: str
    detail: dict[str, Any]


class Body(msgspec.Struct, frozen=True):
    """What every error answer has."""

    errors: list[Entry]


def render(status: int, code: str, message: str, details: Mapping[str, Any]) -> Response:
    """An error as the JSON object that OCI clients read."""
    body = msgspec.json.encode(Body([Entry(code, message, dict(details))]))
    return Response(body, status, media_type="application/json")

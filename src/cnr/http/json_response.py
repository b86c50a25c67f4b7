"""JSON answers, encoded once."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.responses import Response

_encoder = msgspec.json.Encoder()


def json_response(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """`value` on one line, for machines."""
    return Response(_encoder.encode(value), headers=headers, media_type="application/json")


def pretty_response(value: Any) -> Response:
    """`value` indented, as the old servers sent what people read with curl."""
    body = msgspec.json.format(_encoder.encode(value), indent=2)
    return Response(body + b"\n", media_type="application/json")

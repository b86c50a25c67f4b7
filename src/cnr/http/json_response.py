"""JSON answers, encoded once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from starlette.responses import Response

T = TypeVar("T")

SLICE: Final = 500
"""Items of a list encoded before the event loop gets its turn: some three milliseconds."""

_encoder = msgspec.json.Encoder()


def json_response(value: Any, headers: Mapping[str, str] | None = None) -> Response:
    """`value` on one line, for machines."""
    return Response(_encoder.encode(value), headers=headers, media_type="application/json")


def pretty_response(value: Any) -> Response:
    """`value` indented, as the old servers sent what people read with curl."""
    body = msgspec.json.format(_encoder.encode(value), indent=2)
    return Response(body + b"\n", media_type="application/json")


async def pretty_list(values: Sequence[T], shown: Callable[[T], Any]) -> Response:
    """As `pretty_response` of what `shown` makes of each value, however many there are: others get their turn."""
    parts = []
    for start in range(0, len(values), SLICE):
        part = msgspec.json.format(_encoder.encode([shown(value) for value in values[start : start + SLICE]]), indent=2)
        parts.append(part.removeprefix(b"[").removesuffix(b"\n]"))
        await asyncio.sleep(0)
    body = b"[" + b",".join(parts) + (b"\n]\n" if parts else b"]\n")
    return Response(body, media_type="application/json")

"""Moments as the CNR API writes them."""

from datetime import datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

_EPOCH: Final = datetime(1970, 1, 1)

Moment = Annotated[
    str, Meta(description="Naive UTC, always with six digits.", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$")
]


def timestamp(microseconds: int) -> str:
    """Naive UTC, ISO 8601, always six digits of fraction."""
    return (_EPOCH + timedelta(microseconds=microseconds)).isoformat(timespec="microseconds")

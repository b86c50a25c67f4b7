"""What an operator wants to know of a bucket: where it is, what its presigned URLs are good for, and its clock."""

import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

import httpx

from cnr.domain.errors import StoreUnavailable
from cnr.store.base import Fact
from cnr.store.object_address import ObjectAddress

SKEW_S: Final = 60.0
"""Difference of clocks that is told. Stores refuse what is signed 15 minutes before or after their time."""
ANSWER_S: Final = 10.0
_NAMES: Final = {"s3": "Amazon S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage"}


async def facts(address: ObjectAddress, sign: Callable[[], Awaitable[str]], *, data: bytes) -> Sequence[Fact]:
    """What is known of the bucket at `address`. `sign` presigns an object of `data` there; its URL is told nobody."""
    options = address.options
    where = f"{address.scheme}://{address.bucket}/{address.prefix}"
    try:
        url = await sign()
    except StoreUnavailable:
        signed = Fact("presigned URLs", "none: these credentials do not sign, so no file can be redirected")
        return [Fact("bucket", where), Fact("endpoint", options.get("endpoint", _NAMES[address.scheme])), signed]
    shown = urlsplit(url)
    endpoint = options.get("endpoint", f"{shown.scheme}://{shown.netloc}")
    return [
        Fact("bucket", where),
        Fact("endpoint", endpoint),
        *await _tried(url, f"{shown.scheme}://{shown.netloc}", data),
    ]


async def _tried(url: str, host: str, data: bytes) -> Sequence[Fact]:
    """What a client would get from a presigned URL; and the time that the store tells with it."""
    try:
        async with httpx.AsyncClient(timeout=ANSWER_S) as http:
            begun = time.time()
            answer = await http.get(url, headers={"Range": "bytes=1-2"})
            middle = (begun + time.time()) / 2
    except httpx.HTTPError as exc:
        return [_useless(host, type(exc).__name__), Fact("clock", "unknown: nobody answered")]
    works = (answer.status_code, answer.content) == (206, data[1:3])
    urls = Fact("presigned URLs", f"work, under {host}") if works else _useless(host, f"status {answer.status_code}")
    return [urls, _clock(answer.headers.get("date", ""), middle)]


def _useless(host: str, why: str) -> Fact:
    warning = f"from this host, {host} does not answer a presigned URL as it should ({why}): redirects would not work"
    return Fact("presigned URLs", f"do not work, under {host}", warning)


def _clock(date: str, now: float) -> Fact:
    """How far the store's clock is ahead. The header has whole seconds. Source: RFC 9110 section 6.6.1."""
    try:
        theirs = parsedate_to_datetime(date).astimezone(UTC).timestamp() + 0.5
    except ValueError:
        return Fact("clock", "unknown: the store does not tell the time")
    ahead = theirs - now
    late = f"its clock is {ahead:+.0f} s from this host's; from 15 minutes on it refuses all requests: set one of them"
    told = "within a second of this host's" if abs(ahead) < 1.5 else f"{ahead:+.0f} s from this host's"
    return Fact("clock", told, late if abs(ahead) > SKEW_S else "")

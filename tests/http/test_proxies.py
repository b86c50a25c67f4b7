"""Whose word about the client counts, and what a hostile one can make of it."""

from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from cnr.http.proxies import Proxies

TRUSTED = ("10.0.0.0/8", "192.0.2.1", "fd00::/8")


async def seen(peer: str | None, trusted: tuple[str, ...] = TRUSTED, **headers: str) -> tuple[Any, str]:
    """Client address and scheme, as the application sees them."""
    found: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        found.append(scope)

    raw = [
        (name.rstrip("0123456789").replace("_", "-").encode(), value.encode("latin-1"))
        for name, value in headers.items()
    ]
    scope = {"type": "http", "scheme": "http", "headers": raw, "client": None if peer is None else (peer, 4711)}
    await Proxies(app, trusted)(scope, None, None)  # type: ignore[arg-type]
    client = found[0]["client"]
    return client and client[0], found[0]["scheme"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9:4711", "203.0.113.9"),
        ("fd00::1", "[2001:db8::9]:4711", "2001:db8::9"),
        ("fd00::1", "2001:db8::9", "2001:db8::9"),
        ("::ffff:10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        # what stands left of the last stranger is his own invention
        ("10.0.0.1", "127.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "127.0.0.1, 203.0.113.9, 10.3.0.1, 10.2.0.1", "203.0.113.9"),
        ("10.0.0.1", "10.9.9.9, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.3.0.1, 10.2.0.1", "10.3.0.1"),
        # what is no address is nobody's
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "unknown, 10.2.0.1", "10.2.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "<script>", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9," * 100_000 + "203.0.113.1", "203.0.113.1"),
        # and nobody else may say anything
        ("203.0.113.1", "10.0.0.1", "203.0.113.1"),
        ("11.0.0.1", "127.0.0.1", "11.0.0.1"),
        (None, "127.0.0.1", None),
    ],
)
async def test_an_address(peer: str | None, forwarded: str, address: str | None) -> None:
    assert (await seen(peer, x_forwarded_for=forwarded))[0] == address


async def test_several_headers_are_one_list() -> None:
    address, _ = await seen("10.0.0.1", x_forwarded_for1="127.0.0.1, 203.0.113.9", x_forwarded_for2="10.2.0.1")
    assert address == "203.0.113.9"


@pytest.mark.parametrize(
    ("peer", "told", "scheme"),
    [
        ("10.0.0.1", "https", "https"),
        ("10.0.0.1", "http, HTTPS", "https"),
        ("10.0.0.1", "https, http", "http"),
        ("10.0.0.1", "javascript", "http"),
        ("10.0.0.1", "", "http"),
        ("203.0.113.1", "https", "http"),
    ],
)
async def test_a_scheme(peer: str, told: str, scheme: str) -> None:
    assert (await seen(peer, x_forwarded_proto=told))[1] == scheme


async def test_any_peer_is_a_proxy_and_what_it_heard_is_not() -> None:
    assert await seen("203.0.113.1", ("*",), x_forwarded_for="127.0.0.1, 198.51.100.1") == ("198.51.100.1", "http")
    assert await seen(None, ("*",), x_forwarded_for="198.51.100.1") == ("198.51.100.1", "http")


async def test_other_headers_are_ignored() -> None:
    found = await seen("10.0.0.1", x_forwarded_host="evil", forwarded="for=1.2.3.4;proto=https", x_real_ip="1.2.3.4")
    assert found == ("10.0.0.1", "http")

"""Behind proxies: whose word about the client counts.

Our own, because each server has rules of its own: uvicorn believes 127.0.0.1 unless it is told otherwise, and with `*`
what the client itself wrote; gunicorn reads the scheme and not the address.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from cnr.domain.addresses import Networks

ANY: Final = "*"
_HOPS: Final = 32
"""Addresses of X-Forwarded-For that are looked at, from the right."""
_KNOWN: Final = 4096


class Proxies:
    """ASGI middleware: puts the client's address and scheme into the scope, where a trusted proxy tells them.

    `trusted` are addresses and networks; ANY is whoever connects. Of X-Forwarded-For counts the right-most address
    that is no trusted proxy's: what stands left of it, its sender may have made up. Of X-Forwarded-Proto the last
    value counts. Every other X-Forwarded header is ignored, and so are these two from anybody else.
    """

    def __init__(self, app: ASGIApp, trusted: Sequence[str]) -> None:
        self._app = app
        self._any = ANY in trusted
        self._is_proxy = lru_cache(_KNOWN)(Networks([each for each in trusted if each != ANY]).__contains__)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            if self._any or (client is not None and self._is_proxy(client[0])):
                self._believe(scope)
        await self._app(scope, receive, send)

    def _believe(self, scope: Scope) -> None:
        forwarded: list[bytes] = []
        for name, value in scope["headers"]:
            if name == b"x-forwarded-for":
                forwarded.append(value)
            elif name == b"x-forwarded-proto":
                scheme = value.rpartition(b",")[2].strip().lower()
                if scheme in (b"http", b"https"):
                    scope["scheme"] = scheme.decode()
        if forwarded and (address := self._client(b",".join(forwarded).decode("latin-1"))) is not None:
            scope["client"] = (address, 0)

    def _client(self, forwarded: str) -> str | None:
        """The nearest address that is no proxy's, else the farthest proxy's; None where there is none."""
        found = None
        for address in _addresses(forwarded):
            found = address
            if not self._is_proxy(address):
                break
        return found


def _addresses(forwarded: str) -> Iterator[str]:
    """The addresses from the right, up to the first that is none."""
    for text in reversed(forwarded.rsplit(",", _HOPS)[-_HOPS:]):
        try:
            yield str(_plain(ip_address(_without_port(text.strip()))))
        except ValueError:
            return


def _without_port(text: str) -> str:
    if text.startswith("["):
        return text[1:].partition("]")[0]
    host, _, port = text.partition(":")
    return host if port.isdigit() and ":" not in port else text


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address as such, also where a socket for both kinds shows it as IPv6."""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address if mapped is None else mapped

"""Network addresses of clients: whom they count for, and which ones are meant by a list."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

_NETWORK_BITS: Final = 64
"""Of an IPv6 address: the rest is the client's own choice, one address for each request if he likes."""
_LONGEST: Final = 64


def party(address: str) -> str:
    """Whom an address counts for: an IPv4 address for itself, an IPv6 address for its network of 64 bits.

    What is no address is cut to 64 characters. An IPv4 address in IPv6 notation is an IPv4 address.
    """
    return address if ":" not in address and len(address) < _LONGEST else _party(address)


@lru_cache(maxsize=4096)
def _party(address: str) -> str:
    found = _parsed(address)
    if isinstance(found, IPv6Address):
        return str(IPv6Network((found.packed[: _NETWORK_BITS // 8] + bytes(8), _NETWORK_BITS)))
    return str(found) if found is not None else address[:_LONGEST]


class Networks:
    """A set of addresses, from addresses and networks; `*` is all there are."""

    def __init__(self, names: Sequence[str]) -> None:
        self._all = "*" in names
        self._networks: list[IPv4Network | IPv6Network] = [
            ip_network(name, strict=False) for name in names if name != "*"
        ]

    def __contains__(self, address: str) -> bool:
        if self._all or not self._networks:
            return self._all
        found = _parsed(address)
        return found is not None and any(found in network for network in self._networks)


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found

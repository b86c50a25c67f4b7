"""What a registry asks for with 401, and to whom credentials may go because of it.

Source: RFC 9110, 11.6.1; distribution's token specification; design/hostile-inputs.md, "SSRF, credential leak".
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

import httpx

from cnr.client.errors import BadAnswer
from cnr.client.reference import RegistryAddress

_SCHEME = re.compile(r"\s*,?\s*(?P<scheme>[A-Za-z]+)(?:\s+|$)")
_PARAMETER = re.compile(r'\s*,?\s*(?P<name>[A-Za-z_]+)\s*=\s*(?:"(?P<quoted>[^"]*)"|(?P<token>[^\s,"]+))')
_HEADER_LIMIT = 4096
_SHARED_LABELS = 2


@dataclass(frozen=True, slots=True)
class Challenge:
    """`scheme` is `bearer` or `basic`; a bearer token is to be had at `realm`, for `service` and `scope`."""

    scheme: str
    realm: str = ""
    service: str | None = None
    scope: str | None = None


def parse_challenge(lines: Iterable[str]) -> Challenge | None:
    """The challenge in the WWW-Authenticate headers: Bearer before Basic; None where there is neither."""
    found: dict[str, Challenge] = {}
    for line in lines:
        for scheme, given in _challenges(line[:_HEADER_LIMIT]):
            challenge = Challenge(scheme, given.get("realm", ""), given.get("service"), given.get("scope"))
            found.setdefault(scheme, challenge)
    return found.get("bearer") or found.get("basic")


def _challenges(line: str) -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    at = 0
    while at < len(line):
        if found and (parameter := _PARAMETER.match(line, at)):
            value = parameter["quoted"] if parameter["quoted"] is not None else parameter["token"]
            found[-1][1].setdefault(parameter["name"].lower(), value)
            at = parameter.end()
        elif scheme := _SCHEME.match(line, at):
            found.append((scheme["scheme"].lower(), {}))
            at = scheme.end()
        else:
            break
    return found


def token_address(challenge: Challenge, registry: RegistryAddress, *, insecure: bool = False) -> httpx.URL:
    """Where the token is to be had. Raises BadAnswer.

    By https, or on this machine where the registry is too; with `insecure` by http at a registry that is itself
    reached so, which then has its own password in the clear, as with Basic.
    """
    try:
        url = httpx.URL(challenge.realm)
    except httpx.InvalidURL:
        url = httpx.URL("")
    local = is_local(url.host)
    known = (url.scheme, local) in (("https", False), ("http", True), ("https", True))
    same = insecure and url.scheme == registry.scheme == "http" and _bare(registry) == url.host.lower()
    if url.userinfo or not url.host or not (known or same):
        raise BadAnswer(f"{registry} sends for a token to {challenge.realm[:200]!a}, which is no https address")
    if local and not registry.is_loopback:
        raise BadAnswer(f"{registry} sends for a token to an address of this machine or its network's own: {url.host}")
    if url.scheme == "http" and registry.scheme == "https":
        raise BadAnswer(f"{registry} sends from https to http for a token, which is refused")
    return url


def _bare(registry: RegistryAddress) -> str:
    return registry.host.strip("[]")


def may_have_credentials(host: str, registry: RegistryAddress) -> bool:
    """Whether the password for `registry` may go to `host`: itself, or a neighbour in a domain below the top one."""
    host, own = host.lower(), _bare(registry)
    if host == own or (is_local(host) and registry.is_loopback):
        return True
    if _address(host) or _address(own):
        return False
    ours, theirs = own.split("."), host.split(".")
    domains = [ours[start:] for start in (0, 1) if len(ours) - start >= _SHARED_LABELS]
    return any(theirs[-len(domain) :] == domain for domain in domains)


def is_local(host: str) -> bool:
    """Whether `host` is this machine by name or number, or an address that only counts on its own link."""
    address = _address(host)
    if address is None:
        return host.lower() == "localhost" or host.lower().endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_link_local or mapped.is_unspecified


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None

"""Which Host headers a request may have.

Two of them, or one that no host can have, mean different things to the proxy before a server and to the server: what
is asked for, whose cache it goes into, and what it is allowed to see. Source: RFC 9112 section 3.2.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_HOST: Final = re.compile(rb"(?:\[[0-9A-Za-z:.%~_-]+\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?")
"""Source: RFC 3986 sections 3.2.2 and 3.2.3. Empty is what a client sends whose target has no host."""


class InvalidHost(Exception):
    """The request has no Host, several, or one that is none. Its text has only ASCII."""


def require_host(headers: Sequence[tuple[bytes, bytes]], *, old: bool) -> None:
    """Nothing where there is one Host that can be one. Names are in lower case; HTTP/1.0 (`old`) needs none.

    Raises InvalidHost.
    """
    found = [value for name, value in headers if name == b"host"]
    if len(found) == 1:
        if not _is_host(found[0]):
            raise InvalidHost("The Host header is no host.")
    elif found or not old:
        raise InvalidHost("A request has one Host header.")


@lru_cache(maxsize=64)  # clients of one server send few different ones
def _is_host(value: bytes) -> bool:
    return _HOST.fullmatch(value) is not None

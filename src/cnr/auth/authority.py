"""Who decides about an Access. Only the open mode exists yet: everybody may do everything."""

from collections.abc import Mapping
from typing import Protocol

from cnr.domain.access import Access, Grant


class Authority(Protocol):
    """Decides, before a handler reads the body."""

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        """The grant. Raises Unauthorized for wrong credentials, Forbidden for a missing right."""
        ...


class OpenAuthority:
    """Grants everything; an Authorization header is ignored. Source: contracts/cnr.md 2.15, auth off."""

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        return Grant()

"""What else decides whether something may be changed, after who may."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from cnr.domain.access import Access, Grant
from cnr.domain.errors import CnrError, ReadOnly

Check = Callable[[], None]
"""Raises the error that keeps changes out now."""


class Gate:
    """Asks `authorize`, then `checks` where something would be changed."""

    def __init__(self, authorize: Callable[[Mapping[str, str], Access], Awaitable[Grant]], checks: Sequence[Check]):
        self._authorize = authorize
        self._checks = tuple(checks)

    async def authorize(self, headers: Mapping[str, str], access: Access) -> Grant:
        """As Authority.authorize; raises what a check raises, too."""
        grant = await self._authorize(headers, access)
        if access.changes:
            try:
                for check in self._checks:
                    check()
            except CnrError as exc:
                exc.who = grant.who
                raise
        return grant


def read_only() -> None:
    """Keeps all changes out. Raises ReadOnly."""
    raise ReadOnly("this registry is read-only: nothing can be changed here now")

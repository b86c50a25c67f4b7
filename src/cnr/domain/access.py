"""The question that every route asks before its handler runs, and the answer.

Structs, since every request makes some: a frozen dataclass takes eight times as long.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import msgspec

from cnr.domain.account import Path, Right, Rights
from cnr.domain.audit import OPEN, Who
from cnr.domain.names import Repository
from cnr.domain.policy import policy_path

Action = Literal["public", "login", "pull", "push", "delete", "list", "catalog", "admin", "self"]
"""What a caller must be allowed to do: `public` is open to all by intent, `login` to all whom the server knows,
`list` shows only what may be pulled, and so does `catalog`, to all whom the server knows. `admin` is to administer the
path, and without one the whole registry; `self` is for whoever shows a password or a robot token, about himself and
what is his."""

Sees = Callable[[Sequence[Repository]], Awaitable[Sequence[bool]]]
"""Which of these repositories the caller may pull, in their order."""


class Access(msgspec.Struct, frozen=True):
    """`action` on `repository`; None where the route names none (lists, search), or no repository can be named so.

    `path` is where the right must be held, where that is not the repository's own. `changes`: whether something may be
    different afterwards. `address` is where the request came from, as far as that is known.
    """

    repository: Repository | None
    action: Action
    path: Path | None = None
    changes: bool = False
    address: str = ""


class Known(Protocol):
    """Who asks, where there are accounts."""

    @property
    def identity(self) -> str:
        """The same for all sessions of one user or robot token, and for nobody else; empty for anybody."""
        ...

    def rights(self, path: str | None) -> Rights:
        """What he may do at `path`, visibility aside; None: in the whole registry."""
        ...


class Grant(msgspec.Struct, frozen=True):
    """What was allowed, and to whom (None: anonymous). `sees` is None for who may pull everything.

    `has` is what the caller may pull with another token as well, None as in `sees`. `who` is for the audit log.
    `caller` is None where the server has no accounts.
    """

    user: str | None = None
    sees: Sees | None = None
    has: Sees | None = None
    who: Who = OPEN
    caller: Known | None = None

    @property
    def owner(self) -> str:
        """Whose is what this caller begins; nobody's where there are no accounts."""
        return "" if self.caller is None else self.caller.identity

    def may(self, right: Right, repository: Repository) -> bool:
        """Whether the caller has this right in a repository."""
        return self.caller is None or right in self.caller.rights(policy_path(repository))

    def is_anybody(self) -> bool:
        """Whether there was no name with the request, where names count."""
        return self.user is None and self.sees is not None

    async def may_pull(self, repository: Repository) -> bool:
        """Whether this caller may pull from `repository`, too."""
        return self.sees is None or (await self.sees((repository,)))[0]

    async def may_have(self, repository: Repository) -> bool:
        """As may_pull, of a caller whose token need not have been made for that repository."""
        return self.has is None or (await self.has((repository,)))[0]


EVERYTHING = Grant()
"""What an open server allows."""

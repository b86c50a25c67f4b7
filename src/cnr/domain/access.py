"""The question that every route asks before its handler runs, and the answer."""

from dataclasses import dataclass
from typing import Literal

from cnr.domain.names import Repository

Action = Literal["public", "pull", "push", "delete", "list"]
"""What a caller must be allowed to do: `public` is open to all by intent, `list` shows only what may be pulled."""


@dataclass(frozen=True, slots=True)
class Access:
    """`action` on `repository`; None where the route names none (lists, search)."""

    repository: Repository | None
    action: Action


@dataclass(frozen=True, slots=True)
class Grant:
    """What was allowed, and to whom (None: anonymous)."""

    user: str | None = None

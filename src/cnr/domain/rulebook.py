"""The rules of a path as those see them who set them. The types are also what the API sends."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Protocol

import msgspec
from msgspec import Meta

from cnr.domain.account import Path, Role
from cnr.domain.errors import InvalidUsage
from cnr.domain.names import parse_format
from cnr.domain.policy import Immutability, Visibility, parse_pattern

Seconds = Annotated[int, Meta(ge=0, le=10**9, description="Seconds.")]
Count = Annotated[int, Meta(ge=0, le=10**18)]
Writing = Literal["writer", "maintainer", "admin"]
Deleting = Literal["maintainer", "admin"]
LISTED: Final = 100
"""Patterns or formats that one rule may have."""


class RuleChanges(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Rules to set for a path; null takes one back. What is left out stays as it is."""

    immutability: Immutability | msgspec.UnsetType | None = msgspec.UNSET
    force: bool | msgspec.UnsetType | None = msgspec.UNSET
    untagged_after: Seconds | Literal["never"] | msgspec.UnsetType | None = msgspec.UNSET
    visibility: Visibility | msgspec.UnsetType | None = msgspec.UNSET
    push_role: Writing | msgspec.UnsetType | None = msgspec.UNSET
    force_role: Writing | msgspec.UnsetType | None = msgspec.UNSET
    yank_role: Writing | msgspec.UnsetType | None = msgspec.UNSET
    delete_role: Deleting | msgspec.UnsetType | None = msgspec.UNSET
    channels: dict[str, Writing] | msgspec.UnsetType | None = msgspec.UNSET
    formats: list[str] | msgspec.UnsetType | None = msgspec.UNSET
    max_tags: Count | Literal["off"] | msgspec.UnsetType | None = msgspec.UNSET
    max_bytes: Count | Literal["off"] | msgspec.UnsetType | None = msgspec.UNSET

    def values(self) -> dict[str, Any]:
        """What is given, by name, checked. Raises InvalidUsage, InvalidName."""
        given = {name: getattr(self, name) for name in self.__struct_fields__}
        wanted = {name: value for name, value in given.items() if value is not msgspec.UNSET}
        if wanted.get("channels"):
            _few(wanted["channels"], "channels")
            wanted["channels"] = {parse_pattern(each): role for each, role in sorted(wanted["channels"].items())}
        if wanted.get("formats") is not None:
            _few(wanted["formats"], "formats")
            wanted["formats"] = tuple(sorted({parse_format(each) for each in wanted["formats"]}))
        return wanted


RULES: Final = RuleChanges.__struct_fields__
"""The names of the rules that a path may have."""
QUOTAS: Final = frozenset({"max_tags", "max_bytes"})
"""Those of them that only who administers the whole registry sets: others would lift what limits them."""


def _few(found: Any, what: str) -> None:
    if len(found) > LISTED:
        raise InvalidUsage(f"{what} has at most {LISTED} entries")


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds at a path, and in `set` what of it was set for exactly this path.

    `untagged_after` in seconds, null: for ever. `channels`: who may move which. `formats` null: all. `max_tags` and
    `max_bytes` are this path's own, null: none; `used_tags` and `used_bytes` are what they limit.
    """

    path: str
    immutability: Immutability
    force: bool
    untagged_after: int | None
    visibility: Visibility
    push_role: Role
    force_role: Role
    yank_role: Role
    delete_role: Role
    channels: dict[str, Role]
    formats: list[str] | None
    max_tags: int | None
    max_bytes: int | None
    used_tags: int
    used_bytes: int
    set: dict[str, Any]
    version: str


class Rulebook(Protocol):
    """The rules of namespaces and repositories."""

    async def rules(self, path: Path) -> Rules:
        """What holds at a path."""
        ...

    async def set_rules(self, path: Path, wanted: Mapping[str, Any]) -> Rules:
        """Set rules of exactly this path, by the names of RuleChanges; None takes one back. Raises InvalidUsage."""
        ...

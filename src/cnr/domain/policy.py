"""What the operator of a registry decides for a namespace: what may change after it was published, and what goes.

Source: contracts/oci-helm.md 6.4 (5), (8).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal, get_args

from cnr.domain.account import Role
from cnr.domain.names import LIBRARY, Format, Repository, parse_tag

Immutability = Literal["releases", "strict", "none"]
"""`releases`: a release's tag moves to other content by `force` only. `strict`: nor by that, and a deleted release
comes back with the content that it had or not at all. `none`: any tag may move, as OCI clients are used to."""
Visibility = Literal["public", "private"]
"""`public`: anybody may pull. Nothing else follows from it."""
VISIBILITIES: Final[tuple[Visibility, ...]] = get_args(Visibility)
Deed = Literal["push", "force", "yank", "delete"]
"""What a rule may keep for a higher role than the one that has the right anyway."""
IMMUTABILITIES: Final[tuple[Immutability, ...]] = get_args(Immutability)


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of one repository. `force`: whether it is allowed by name; ask `may_force`.

    `untagged_after` is how long a manifest that a client pushed is kept when no tag names it and nothing refers to
    it; None: until somebody deletes it. `channels`: who may move those of a name or pattern. `formats`: of packages,
    None: all.
    """

    immutability: Immutability = "releases"
    force: bool = True
    untagged_after: timedelta | None = None
    visibility: Visibility = "private"
    push_role: Role = "writer"
    force_role: Role = "writer"
    yank_role: Role = "writer"
    delete_role: Role = "maintainer"
    channels: Mapping[str, Role] = field(default_factory=dict)
    formats: frozenset[Format] | None = None

    def role_for(self, deed: Deed) -> Role:
        """The least role that may do this."""
        role: Role = getattr(self, f"{deed}_role")
        return role

    def role_to_move(self, channel: str) -> Role:
        """The least role that may move or delete a channel: the rule of its name, else of the longest pattern."""
        if not self.channels:
            return "writer"
        if channel in self.channels:
            return self.channels[channel]
        matching = [each for each in self.channels if each.endswith("*") and channel.startswith(each[:-1])]
        return self.channels[max(matching, key=len)] if matching else "writer"

    @property
    def strict(self) -> bool:
        """Whether a deleted release is remembered."""
        return self.immutability == "strict"

    @property
    def tags_move(self) -> bool:
        """Whether a release's tag may be pointed at other content."""
        return self.immutability == "none"

    @property
    def may_force(self) -> bool:
        """Whether a CNR or ChartMuseum client may replace what is published."""
        return self.force and not self.strict


def parse_pattern(text: str) -> str:
    """A channel's name, or the beginning of one and a `*`. Raises InvalidName."""
    name = text.removesuffix("*")
    if name or not text:
        parse_tag(name, what="channel or pattern")
    return text


def policy_path(repository: Repository) -> str:
    """The path under which a repository's rules are kept: a one-level repository `x` is `library/x`.

    So the namespace `x` and the repository `x`, which is in another namespace, have rules of their own.
    """
    return repository if "/" in repository else f"{LIBRARY}/{repository}"


def beginnings(path: str) -> Iterator[str]:
    """Every beginning of a path, from its first component to itself."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


@dataclass(frozen=True, slots=True)
class Quota:
    """How many tags there may be at a path and below, and how many bytes; None: any number."""

    max_tags: int | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Use:
    """How many tags there are at a path and below: releases, channels, other tags. And the bytes of what is stored.

    Bytes of blobs and manifests as their repositories have them: what is in two repositories counts twice.
    """

    tags: int = 0
    bytes: int = 0


UNLIMITED: Final = Quota()
DEFAULT: Final = Policy()
"""The rules of a server that was told nothing."""

"""The rules that an operator set for namespaces and repositories. Read from records at every write, and never kept.

A path's record wins, field by field, over those of its beginnings, and they over the server's settings. The first
component's record says whether any longer path has one: where none has, a write reads one record.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

from msgspec.structs import replace

from cnr.domain.names import Repository
from cnr.domain.policy import Policy, Visibility, policy_path
from cnr.registry.core import Core, together
from cnr.store import keys
from cnr.store.records import PolicyRecord
from cnr.store.update import KEEP, Keep


class Policies:
    """Reads and changes rules. What `change` acknowledged holds for every write that begins after it, on any server."""

    def __init__(self, core: Core) -> None:
        self._core = core

    async def of(self, repository: Repository) -> Policy:
        """The rules of a repository, with nothing left open."""
        return await self.at(policy_path(repository))

    async def at(self, path: str) -> Policy:
        """The rules at a path: of a namespace, or of a repository by its `policy_path`."""
        first, *longer = _paths(path)
        found = [await self.own(first)]
        if found[0].below and longer:
            found += await together(*map(self.own, longer))
        policy = self._core.policy
        for record in found:
            policy = _over(policy, record)
        return policy

    async def is_public(self, path: str) -> bool:
        """Whether anybody may pull what is at a path: one read, and more where the namespace has exceptions."""
        return (await self.at(path)).visibility == "public"

    async def visible(self, repositories: Sequence[Repository]) -> list[Visibility]:
        """Who may pull from each of these, in their order: a read for each namespace, more for exceptions in it."""
        firsts: dict[str, PolicyRecord] = {}
        found: list[Visibility] = []
        for repository in repositories:
            path = policy_path(repository)
            first = path.partition("/")[0]
            if first not in firsts:
                firsts[first] = await self.own(first)
            plain = not firsts[first].below
            policy = _over(self._core.policy, firsts[first]) if plain else await self.at(path)
            found.append(policy.visibility)
        return found

    async def own(self, path: str) -> PolicyRecord:
        """What was set for exactly this path."""
        return await self._core.read(keys.policy(path), PolicyRecord) or PolicyRecord()

    async def change(self, path: str, change: Callable[[PolicyRecord], PolicyRecord]) -> None:
        """Set the rules of exactly this path to what `change` makes of them. Raises StoreTrouble."""
        first = next(_paths(path))
        if first != path:
            # before the longer path's record, or a reader could miss that
            await self._core.updater.update(keys.policy(first), PolicyRecord, _below)

        def own(before: PolicyRecord | None) -> PolicyRecord:
            now = before or PolicyRecord()
            return replace(change(now), below=now.below)

        await self._core.updater.update(keys.policy(path), PolicyRecord, own)


def _paths(path: str) -> Iterator[str]:
    """Every beginning of a path, from its first component to itself."""
    parts = path.split("/")
    return ("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _below(before: PolicyRecord | None) -> PolicyRecord | Keep:
    if before is not None and before.below:
        return KEEP
    return replace(before or PolicyRecord(), below=True)


def _over(policy: Policy, record: PolicyRecord) -> Policy:
    """`policy` with what `record` sets."""
    untagged = policy.untagged_after
    if record.untagged_after is not None:
        untagged = None if record.untagged_after == "never" else timedelta(seconds=record.untagged_after)
    return Policy(
        immutability=record.immutability or policy.immutability,
        force=policy.force if record.force is None else record.force,
        untagged_after=untagged,
        visibility=record.visibility or policy.visibility,
        push_role=record.push_role or policy.push_role,
        force_role=record.force_role or policy.force_role,
        yank_role=record.yank_role or policy.yank_role,
        delete_role=record.delete_role or policy.delete_role,
        channels=policy.channels if record.channels is None else record.channels,
        formats=policy.formats if record.formats is None else frozenset(record.formats),
    )

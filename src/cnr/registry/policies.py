"""The rules that an operator set for namespaces and repositories. Read from records at every write, and never kept.

A path's record wins, field by field, over those of its beginnings, and they over the server's settings. The first
component's record says whether any longer path has one: where none has, a write reads one record.
"""

import itertools
from collections.abc import Callable, Sequence
from datetime import timedelta

from msgspec.structs import replace

from cnr.domain.names import Repository
from cnr.domain.policy import UNLIMITED, Policy, Quota, Use, Visibility, beginnings, policy_path
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
        policy = self._core.policy
        for record in await self._set(path):
            policy = _over(policy, record)
        return policy

    async def quotas(self, path: str) -> dict[str, Quota]:
        """What counts at a path, by the path that it counts for: its own quota, and those of all its beginnings."""
        found = zip(beginnings(path), await self._set(path), strict=False)
        defaults = itertools.chain([self._core.quota], itertools.repeat(UNLIMITED))
        quotas = {at: _quota(record, default) for (at, record), default in zip(found, defaults, strict=False)}
        return {at: quota for at, quota in quotas.items() if quota != UNLIMITED}

    async def use(self, path: str) -> Use:
        """What there is at a path and below it, which quotas limit."""
        return await self._core.catalog.use(path)

    async def is_public(self, path: str) -> bool:
        """Whether anybody may pull what is at a path: one read, and more where the namespace has exceptions."""
        return _visibility(self._core.policy, await self._set(path)) == "public"

    async def _set(self, path: str) -> list[PolicyRecord]:
        """What was set for each beginning of a path, from its first component to itself."""
        first, *longer = beginnings(path)
        found = [await self.own(first)]
        if found[0].below and longer:
            found += await together(*map(self.own, longer))
        return found

    async def visible(self, repositories: Sequence[Repository]) -> list[Visibility]:
        """Who may pull from each of these, in their order: a read for each namespace, more for exceptions in it."""
        firsts: dict[str, PolicyRecord] = {}
        found: list[Visibility] = []
        for repository in repositories:
            path = policy_path(repository)
            first = path.partition("/")[0]
            if first not in firsts:
                firsts[first] = await self.own(first)
            records = await self._set(path) if firsts[first].below else [firsts[first]]
            found.append(_visibility(self._core.policy, records))
        return found

    async def own(self, path: str) -> PolicyRecord:
        """What was set for exactly this path."""
        return await self._core.read(keys.policy(path), PolicyRecord) or PolicyRecord()

    async def change(self, path: str, change: Callable[[PolicyRecord], PolicyRecord]) -> None:
        """Set the rules of exactly this path to what `change` makes of them. Raises StoreTrouble."""
        first = next(beginnings(path))
        if first != path:
            # before the longer path's record, or a reader could miss that
            await self._core.updater.update(keys.policy(first), PolicyRecord, _below)

        def own(before: PolicyRecord | None) -> PolicyRecord:
            now = before or PolicyRecord()
            return replace(change(now), below=now.below)

        await self._core.updater.update(keys.policy(path), PolicyRecord, own)


def _below(before: PolicyRecord | None) -> PolicyRecord | Keep:
    if before is not None and before.below:
        return KEEP
    return replace(before or PolicyRecord(), below=True)


def _visibility(policy: Policy, records: Sequence[PolicyRecord]) -> Visibility:
    """That of `policy` with what `records` set: every pull of what is public asks for no more."""
    visibility = policy.visibility
    for record in records:
        visibility = record.visibility or visibility
    return visibility


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


def _quota(record: PolicyRecord, default: Quota) -> Quota:
    tags = default.max_tags if record.max_tags is None else record.max_tags
    size = default.max_bytes if record.max_bytes is None else record.max_bytes
    return Quota(None if tags == "off" else tags, None if size == "off" else size)

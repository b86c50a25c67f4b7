"""The rules of a path, shown and set: what `cnr namespace` and the API's policies are."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from cnr.domain.account import Path
from cnr.domain.errors import ChangedMeanwhile
from cnr.domain.policy import UNLIMITED, Policy, Quota, Use
from cnr.domain.rulebook import RULES, Rules
from cnr.registry.policies import Policies
from cnr.store.records import PolicyRecord


class StoredRulebook:
    """Reads and sets rules in the store. Source: domain/rulebook.py, Rulebook."""

    def __init__(self, policies: Policies) -> None:
        self._policies = policies

    async def rules(self, path: Path) -> Rules:
        """As Rulebook.rules."""
        own = await self._policies.own(path)
        quota = (await self._policies.quotas(path)).get(path, UNLIMITED)
        return _shown(path, await self._policies.at(path), own, quota, await self._policies.use(path))

    async def set_rules(self, path: Path, wanted: Mapping[str, Any], *, expect: frozenset[str] | None = None) -> Rules:
        """As Rulebook.set_rules; the path's rules must be one of the versions `expect`. Raises ChangedMeanwhile."""

        def change(before: PolicyRecord) -> PolicyRecord:
            if expect is not None and "*" not in expect and before.write not in expect:
                raise ChangedMeanwhile(f"the rules of {path} were changed meanwhile", version=before.write)
            return replace(before, **wanted)

        await self._policies.change(path, change)
        return await self.rules(path)


def _shown(path: Path, policy: Policy, own: PolicyRecord, quota: Quota, use: Use) -> Rules:
    after = policy.untagged_after
    return Rules(
        path=path,
        immutability=policy.immutability,
        force=policy.may_force,
        untagged_after=None if after is None else int(after.total_seconds()),
        visibility=policy.visibility,
        push_role=policy.push_role,
        force_role=policy.force_role,
        yank_role=policy.yank_role,
        delete_role=policy.delete_role,
        channels=dict(policy.channels),
        formats=None if policy.formats is None else sorted(policy.formats),
        max_tags=quota.max_tags,
        max_bytes=quota.max_bytes,
        used_tags=use.tags,
        used_bytes=use.bytes,
        set={name: value for name in RULES if (value := getattr(own, name)) is not None},
        version=own.write,
    )

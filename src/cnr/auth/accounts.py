"""Users and groups: who there is, with which roles. Every change is one swap of one record.

A user's record has all that a decision about him needs but the roles of his groups, so it costs one read, and one
for each group. What a change acknowledged holds for every request that begins after it, on any server.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from msgspec.structs import replace

from cnr.domain.account import GroupName, Path, Role, UserName
from cnr.domain.errors import AccountNotFound, ChangedMeanwhile, NameTaken, RecordFull
from cnr.domain.people import SubjectKind
from cnr.store import keys, records
from cnr.store.base import RecordNotFound, RecordStore, Version
from cnr.store.records import ACCOUNT_LIMIT, GroupRecord, Membership, Stored, UserRecord
from cnr.store.update import DELETE, KEEP, Delete, Keep, Swap, Updater

T = TypeVar("T", bound=Stored)
Expect = frozenset[str] | None
"""Ids of writes, one of which must have made the record that is to be changed; `*`: any; None: it does not matter."""
PARSED: Final = 1000
"""Records kept in the form that decisions need, each for the Version that it was read at."""
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """A record and its Version."""

    record: T
    version: Version


class Accounts:
    """Reads and changes users and groups. `new_id` gives ids that nobody had before."""

    def __init__(
        self, store: RecordStore, updater: Updater, *, clock: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        self._store = store
        self._updater = updater
        self._clock = clock
        self._new_id = new_id
        self._parsed: dict[str, Read[Any]] = {}

    async def user(self, name: str) -> Read[UserRecord] | None:
        """The user, or None."""
        return await self.read(keys.user(name), UserRecord)

    async def group(self, name: str) -> Read[GroupRecord] | None:
        """The group, or None."""
        return await self.read(keys.group(name), GroupRecord)

    async def read(self, key: str, kind: type[T]) -> Read[T] | None:
        """The record of `kind` under `key` as it is now; decoding what has not changed is spared."""
        try:
            found = await self._store.get(key)
        except RecordNotFound:
            return None
        known = self._parsed.get(key)
        if known is not None and known.version == found.version:
            return known
        read: Read[T] = Read(records.decode(kind, found.value), found.version)
        if len(self._parsed) >= PARSED:
            self._parsed.clear()
        self._parsed[key] = read
        return read

    async def group_grants(self, user: UserRecord) -> list[Mapping[Path, Role]]:
        """The roles of each group that the user is in."""
        found: list[Mapping[Path, Role]] = []
        for membership in user.groups:
            group = await self.group(membership.group)
            if group is not None and group.record.born == membership.born:
                found.append(group.record.grants)
        return found

    async def add_user(
        self, name: UserName, password: str, *, admin: bool = False, replaces: bool = False
    ) -> UserRecord:
        """Make a user with this password hash. With `replaces` he may exist, and only his password is changed.

        Raises NameTaken.
        """
        born, password_id = self._new_id(), self._new_id()

        def change(before: UserRecord | None) -> UserRecord:
            if before is not None and replaces:
                return replace(before, password=password, password_id=password_id, admin=before.admin or admin)
            if before is not None:
                raise NameTaken(f"there is a user {name} already")
            return UserRecord(
                born=born, password=password, password_id=password_id, created_at=self._clock(), admin=admin
            )

        return await self._swap(keys.user(name), UserRecord, change)

    async def change_user(
        self, name: UserName, *, password: str | None = None, admin: bool | None = None, expect: Expect = None
    ) -> UserRecord:
        """Change a user's password hash, whether he is an administrator, or both at once.

        Raises AccountNotFound, ChangedMeanwhile.
        """
        password_id = self._new_id()

        def change(user: UserRecord) -> UserRecord:
            if password is not None:
                user = replace(user, password=password, password_id=password_id)
            return user if admin is None else replace(user, admin=admin)

        return await self._change_user(name, change, expect)

    async def set_password(self, name: UserName, password: str) -> UserRecord:
        """Change a user's password hash. Raises AccountNotFound."""
        return await self.change_user(name, password=password)

    async def set_admin(self, name: UserName, admin: bool) -> UserRecord:
        """Make a user an administrator of the whole registry, or none. Raises AccountNotFound."""
        return await self.change_user(name, admin=admin)

    async def rehash(self, name: str, old: str, new: str) -> None:
        """Put another hash of the same password in the place of `old`, if that is still there."""

        def change(before: UserRecord | None) -> UserRecord | Keep:
            if before is None or before.password != old:
                return KEEP
            return replace(before, password=new)

        await self._updater.update(keys.user(name), UserRecord, change)

    async def remove_user(self, name: UserName, *, expect: Expect = None) -> UserRecord:
        """Remove a user with all that he had. Raises AccountNotFound, ChangedMeanwhile."""
        return await self._remove(keys.user(name), UserRecord, f"there is no user {name}", expect)

    async def restore_user(self, name: UserName, record: UserRecord) -> None:
        """Put back who was just removed, unless there is another of his name by now."""

        def change(before: UserRecord | None) -> UserRecord | Keep:
            return record if before is None else KEEP

        await self._updater.update(keys.user(name), UserRecord, change)

    async def add_group(self, name: GroupName) -> GroupRecord:
        """Make a group. Raises NameTaken."""
        born = self._new_id()

        def change(before: GroupRecord | None) -> GroupRecord:
            if before is not None:
                raise NameTaken(f"there is a group {name} already")
            return GroupRecord(born=born, created_at=self._clock())

        return await self._swap(keys.group(name), GroupRecord, change)

    async def remove_group(self, name: GroupName, *, expect: Expect = None) -> None:
        """Remove a group; a later one of its name has none of its members. Raises AccountNotFound, ChangedMeanwhile."""
        await self._remove(keys.group(name), GroupRecord, f"there is no group {name}", expect)

    async def join(self, user: UserName, group: GroupName, *, expect: Expect = None) -> UserRecord:
        """Put a user into a group. Raises AccountNotFound, RecordFull, ChangedMeanwhile."""
        found = await self.group(group)
        if found is None:
            raise AccountNotFound(f"there is no group {group}")
        membership = Membership(group, found.record.born)
        return await self._change_user(
            user, lambda each: replace(each, groups=(*_without(each, group), membership)), expect
        )

    async def leave(self, user: UserName, group: GroupName, *, expect: Expect = None) -> UserRecord:
        """Take a user out of a group. Raises AccountNotFound, ChangedMeanwhile."""
        return await self._change_user(user, lambda each: replace(each, groups=_without(each, group)), expect)

    async def grant(
        self, kind: SubjectKind, name: str, path: Path, role: Role | None, *, expect: Expect = None
    ) -> UserRecord | GroupRecord:
        """Give a role at a path, in the place of the one there; None takes it.

        Raises AccountNotFound, RecordFull, ChangedMeanwhile.
        """

        def grants(before: Mapping[Path, Role]) -> dict[Path, Role]:
            kept = {each: held for each, held in before.items() if each != path}
            return kept if role is None else {**kept, path: role}

        if kind == "user":
            return await self._change_user(name, lambda user: replace(user, grants=grants(user.grants)), expect)

        def change(before: GroupRecord | None) -> GroupRecord:
            if before is None:
                raise AccountNotFound(f"there is no group {name}")
            require_version(before, expect)
            return _fitting(replace(before, grants=grants(before.grants)))

        return await self._swap(keys.group(name), GroupRecord, change)

    async def users(self, *, after: str = "") -> AsyncIterator[tuple[str, UserRecord]]:
        """All users above the name `after`, by name."""
        async for name, record in self._all(keys.USERS, UserRecord, after):
            yield name, record

    async def groups(self, *, after: str = "") -> AsyncIterator[tuple[str, GroupRecord]]:
        """All groups above the name `after`, by name."""
        async for name, record in self._all(keys.GROUPS, GroupRecord, after):
            yield name, record

    async def _all(self, prefix: str, kind: type[T], after: str) -> AsyncIterator[tuple[str, T]]:
        last = prefix + after if after else ""
        while page := await self._store.scan(prefix, after=last, limit=_PAGE):
            last = page[-1].key
            for each in page:
                yield each.key.removeprefix(prefix), records.decode(kind, each.value)
            await asyncio.sleep(0)

    async def _change_user(
        self, name: str, change: Callable[[UserRecord], UserRecord], expect: Expect = None
    ) -> UserRecord:
        def changed(before: UserRecord | None) -> UserRecord:
            if before is None:
                raise AccountNotFound(f"there is no user {name}")
            require_version(before, expect)
            return _fitting(change(before))

        return await self._swap(keys.user(name), UserRecord, changed)

    async def _swap(self, key: str, kind: type[T], change: Callable[[T | None], T]) -> T:
        swap: Swap[T] = await self._updater.update(key, kind, change)
        assert swap.after is not None
        return swap.after

    async def _remove(self, key: str, kind: type[T], missing: str, expect: Expect) -> T:
        def change(before: T | None) -> T | Delete:
            if before is None:
                raise AccountNotFound(missing)
            require_version(before, expect)
            return DELETE

        swap: Swap[T] = await self._updater.update(key, kind, change)
        assert swap.before is not None
        return swap.before


def require_version(record: Stored, expect: Expect) -> None:
    """Raises ChangedMeanwhile where another write made the record than those that are expected."""
    if expect is not None and "*" not in expect and record.write not in expect:
        raise ChangedMeanwhile("this was changed meanwhile: look at it again", version=record.write)


def _without(user: UserRecord, group: GroupName) -> tuple[Membership, ...]:
    return tuple(each for each in user.groups if each.group != group)


def _fitting(record: T) -> T:
    """The record. Raises RecordFull for one that every request of its user would have to read."""
    if len(records.encode(record)) > ACCOUNT_LIMIT:
        raise RecordFull("one user or group has no more roles than this: give a role in a namespace instead")
    return record

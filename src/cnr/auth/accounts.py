"""Users and groups: who there is, with which roles. Every change is one swap of one record.

A user's record has all that a decision about him needs but the roles of his groups, so it costs one read, and one
for each group. What a change acknowledged holds for every request that begins after it, on any server.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from msgspec.structs import replace

from cnr.domain.account import GroupName, Path, Role, UserName
from cnr.domain.errors import AccountNotFound, NameTaken, RecordFull
from cnr.store import keys, records
from cnr.store.base import RecordNotFound, RecordStore, Version
from cnr.store.records import ACCOUNT_LIMIT, GroupRecord, Membership, Stored, UserRecord
from cnr.store.update import DELETE, Delete, Updater

T = TypeVar("T", bound=Stored)
SubjectKind = Literal["user", "group"]
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

    async def add_user(self, name: UserName, password: str, *, admin: bool = False, replaces: bool = False) -> None:
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

        await self._updater.update(keys.user(name), UserRecord, change)

    async def set_password(self, name: UserName, password: str) -> None:
        """Change a user's password hash. Raises AccountNotFound."""
        password_id = self._new_id()
        await self._change_user(name, lambda user: replace(user, password=password, password_id=password_id))

    async def set_admin(self, name: UserName, admin: bool) -> None:
        """Make a user an administrator of the whole registry, or none. Raises AccountNotFound."""
        await self._change_user(name, lambda user: replace(user, admin=admin))

    async def remove_user(self, name: UserName) -> None:
        """Remove a user with all that he had. Raises AccountNotFound."""
        await self._remove(keys.user(name), UserRecord, f"there is no user {name}")

    async def add_group(self, name: GroupName) -> None:
        """Make a group. Raises NameTaken."""
        born = self._new_id()

        def change(before: GroupRecord | None) -> GroupRecord:
            if before is not None:
                raise NameTaken(f"there is a group {name} already")
            return GroupRecord(born=born, created_at=self._clock())

        await self._updater.update(keys.group(name), GroupRecord, change)

    async def remove_group(self, name: GroupName) -> None:
        """Remove a group; a later one of its name has none of its members. Raises AccountNotFound."""
        await self._remove(keys.group(name), GroupRecord, f"there is no group {name}")

    async def join(self, user: UserName, group: GroupName) -> None:
        """Put a user into a group. Raises AccountNotFound, RecordFull."""
        found = await self.group(group)
        if found is None:
            raise AccountNotFound(f"there is no group {group}")
        membership = Membership(group, found.record.born)
        await self._change_user(user, lambda each: replace(each, groups=(*_without(each, group), membership)))

    async def leave(self, user: UserName, group: GroupName) -> None:
        """Take a user out of a group. Raises AccountNotFound."""
        await self._change_user(user, lambda each: replace(each, groups=_without(each, group)))

    async def grant(self, kind: SubjectKind, name: str, path: Path, role: Role | None) -> None:
        """Give a role at a path, in the place of the one there; None takes it. Raises AccountNotFound, RecordFull."""

        def grants(before: Mapping[Path, Role]) -> dict[Path, Role]:
            kept = {each: held for each, held in before.items() if each != path}
            return kept if role is None else {**kept, path: role}

        if kind == "user":
            await self._change_user(name, lambda user: replace(user, grants=grants(user.grants)))
            return

        def change(before: GroupRecord | None) -> GroupRecord:
            if before is None:
                raise AccountNotFound(f"there is no group {name}")
            return _fitting(replace(before, grants=grants(before.grants)))

        await self._updater.update(keys.group(name), GroupRecord, change)

    async def users(self) -> AsyncIterator[tuple[str, UserRecord]]:
        """All users, by name."""
        async for name, record in self._all(keys.USERS, UserRecord):
            yield name, record

    async def groups(self) -> AsyncIterator[tuple[str, GroupRecord]]:
        """All groups, by name."""
        async for name, record in self._all(keys.GROUPS, GroupRecord):
            yield name, record

    async def _all(self, prefix: str, kind: type[T]) -> AsyncIterator[tuple[str, T]]:
        after = ""
        while page := await self._store.scan(prefix, after=after, limit=_PAGE):
            after = page[-1].key
            for each in page:
                yield each.key.removeprefix(prefix), records.decode(kind, each.value)

    async def _change_user(self, name: str, change: Callable[[UserRecord], UserRecord]) -> None:
        def changed(before: UserRecord | None) -> UserRecord:
            if before is None:
                raise AccountNotFound(f"there is no user {name}")
            return _fitting(change(before))

        await self._updater.update(keys.user(name), UserRecord, changed)

    async def _remove(self, key: str, kind: type[T], missing: str) -> None:
        def change(before: T | None) -> T | Delete:
            if before is None:
                raise AccountNotFound(missing)
            return DELETE

        await self._updater.update(key, kind, change)


def _without(user: UserRecord, group: GroupName) -> tuple[Membership, ...]:
    return tuple(each for each in user.groups if each.group != group)


def _fitting(record: T) -> T:
    """The record. Raises RecordFull for one that every request of its user would have to read."""
    if len(records.encode(record)) > ACCOUNT_LIMIT:
        raise RecordFull("one user or group has no more roles than this: give a role in a namespace instead")
    return record

"""Users, groups and their roles in the store, as whoever administers them sees and changes them."""

from typing import Final

from cnr.auth.accounts import Accounts, Expect
from cnr.auth.passwords import Passwords, is_bcrypt
from cnr.domain.account import GroupName, Path, Role, UserName
from cnr.domain.errors import AccountNotFound, InvalidUsage, LastAdministrator
from cnr.domain.moment import timestamp
from cnr.domain.people import Gone, Group, Members, RoleAt, SubjectKind, User
from cnr.store.records import GroupRecord, UserRecord

_LAST: Final = "this is the last administrator: make another one first"


class StoredPeople:
    """The People of a store. `expect` in a method: see Accounts.

    `keeps_admin`: whether the last administrator stays one. Not for whoever has the store itself, and can make another.
    """

    def __init__(self, accounts: Accounts, passwords: Passwords, *, keeps_admin: bool = False) -> None:
        self._accounts = accounts
        self._passwords = passwords
        self._keeps_admin = keeps_admin

    async def users(self, *, after: str = "", limit: int | None = None) -> list[User]:
        """As People.users, those above the name `after`."""
        found: list[User] = []
        async for name, record in self._accounts.users(after=after):
            if len(found) == limit:
                break
            found.append(shown_user(name, record))
        return found

    async def user(self, name: UserName) -> User:
        """One user. Raises AccountNotFound."""
        found = await self._accounts.user(name)
        if found is None:
            raise AccountNotFound(f"there is no user {name}")
        return shown_user(name, found.record)

    async def add_user(self, name: UserName, password: str, *, admin: bool = False) -> User:
        """As People.add_user."""
        record = await self._accounts.add_user(name, await self._passwords.hash(password), admin=admin)
        return shown_user(name, record)

    async def take_over(self, name: UserName, bcrypt: str, *, replace: bool = False) -> User:
        """As People.take_over. Raises InvalidUsage for what is no bcrypt hash."""
        if not is_bcrypt(bcrypt):
            raise InvalidUsage("that is no bcrypt hash: make it with htpasswd -B")
        return shown_user(name, await self._accounts.add_user(name, bcrypt, replaces=replace))

    async def set_password(self, name: UserName, password: str) -> User:
        """As People.set_password."""
        return await self.change(name, password=password)

    async def set_admin(self, name: UserName, admin: bool) -> User:
        """As People.set_admin."""
        return await self.change(name, admin=admin)

    async def change(
        self, name: UserName, *, password: str | None = None, admin: bool | None = None, expect: Expect = None
    ) -> User:
        """Both at once. Raises AccountNotFound, LastAdministrator, ChangedMeanwhile."""
        if admin is False:
            await self._require_another(name)
        stored = await self._passwords.hash(password) if password is not None else None
        record = await self._accounts.change_user(name, password=stored, admin=admin, expect=expect)
        if admin is False and not await self._has_admin():
            # two took it from one another at the same moment
            record = await self._accounts.change_user(name, admin=True)
            raise LastAdministrator(_LAST)
        return shown_user(name, record)

    async def remove_user(self, name: UserName, *, expect: Expect = None) -> Gone:
        """As People.remove_user. Raises ChangedMeanwhile."""
        await self._require_another(name)
        gone = await self._accounts.remove_user(name, expect=expect)
        if gone.admin and not await self._has_admin():
            await self._accounts.restore_user(name, gone)
            raise LastAdministrator(_LAST)
        return Gone(name=name)

    async def _require_another(self, name: UserName) -> None:
        """Raises LastAdministrator, before anything is changed, for the only one."""
        found = await self._accounts.user(name)
        if found is not None and found.record.admin and not await self._has_admin(but=name):
            raise LastAdministrator(_LAST)

    async def _has_admin(self, *, but: str = "") -> bool:
        if not self._keeps_admin:
            return True
        async for name, record in self._accounts.users():
            if record.admin and name != but:
                return True
        return False

    async def groups(self, *, after: str = "", limit: int | None = None) -> list[Group]:
        """As People.groups, those above the name `after`."""
        found: list[Group] = []
        async for name, record in self._accounts.groups(after=after):
            if len(found) == limit:
                break
            found.append(shown_group(name, record))
        return found

    async def group(self, name: GroupName) -> Members:
        """A group and who is in it: all users are looked at. Raises AccountNotFound."""
        found = await self._accounts.group(name)
        if found is None:
            raise AccountNotFound(f"there is no group {name}")
        group = found.record
        members = [
            user
            async for user, record in self._accounts.users()
            if any(each.group == name and each.born == group.born for each in record.groups)
        ]
        return Members(
            name=name,
            created_at=timestamp(group.created_at),
            roles=_roles(group.grants),
            members=members,
            version=group.write,
        )

    async def add_group(self, name: GroupName) -> Group:
        """As People.add_group."""
        return shown_group(name, await self._accounts.add_group(name))

    async def remove_group(self, name: GroupName, *, expect: Expect = None) -> Gone:
        """As People.remove_group. Raises ChangedMeanwhile."""
        await self._accounts.remove_group(name, expect=expect)
        return Gone(name=name)

    async def join(self, group: GroupName, user: UserName, *, expect: Expect = None) -> User:
        """As People.join; `expect` is about the user, whose record it is. Raises ChangedMeanwhile."""
        return shown_user(user, await self._accounts.join(user, group, expect=expect))

    async def leave(self, group: GroupName, user: UserName, *, expect: Expect = None) -> User:
        """As People.leave; `expect` as in `join`. Raises ChangedMeanwhile."""
        return shown_user(user, await self._accounts.leave(user, group, expect=expect))

    async def roles(self, path: Path | None = None) -> list[RoleAt]:
        """As People.roles: all users and groups are looked at."""
        found: list[RoleAt] = []
        async for name, user in self._accounts.users():
            found += _within("user", name, user.grants, path)
        async for name, group in self._accounts.groups():
            found += _within("group", name, group.grants, path)
        return sorted(found, key=lambda each: (each.path, each.kind, each.name))

    async def give(self, kind: SubjectKind, name: str, path: Path, role: Role, *, expect: Expect = None) -> RoleAt:
        """As People.give. Raises ChangedMeanwhile."""
        await self._accounts.grant(kind, name, path, role, expect=expect)
        return RoleAt(kind=kind, name=name, path=path, role=role)

    async def take(self, kind: SubjectKind, name: str, path: Path, *, expect: Expect = None) -> Gone:
        """As People.take. Raises ChangedMeanwhile."""
        await self._accounts.grant(kind, name, path, None, expect=expect)
        return Gone(name=name)


def shown_user(name: str, record: UserRecord) -> User:
    """A user as he is shown: without anything of his password."""
    return User(
        name=name,
        admin=record.admin,
        created_at=timestamp(record.created_at),
        groups=[each.group for each in record.groups],
        roles=_roles(record.grants),
        version=record.write,
    )


def shown_group(name: str, record: GroupRecord) -> Group:
    """A group as it is shown."""
    return Group(name=name, created_at=timestamp(record.created_at), roles=_roles(record.grants), version=record.write)


def _roles(grants: dict[Path, Role]) -> dict[str, Role]:
    return dict(sorted(grants.items()))


def _within(kind: SubjectKind, name: str, grants: dict[Path, Role], path: Path | None) -> list[RoleAt]:
    return [
        RoleAt(kind=kind, name=name, path=at, role=role)
        for at, role in grants.items()
        if path is None or at == path or at.startswith(f"{path}/")
    ]

"""Who asks: from the Authorization header to a Caller with rights, read from records at every request."""

import base64
import binascii
from collections.abc import Mapping, Sequence

import msgspec

from cnr.auth import bearer
from cnr.auth.accounts import Accounts, Read
from cnr.auth.backoff import Backoff
from cnr.auth.bearer import Bearer
from cnr.auth.htpasswd import GROUP, Htpasswd, version_of
from cnr.auth.passwords import BCRYPT, Passwords
from cnr.auth.scopes import Scope
from cnr.auth.tokens import Tokens
from cnr.domain.account import ALL, NONE, ROLES, Path, Right, Rights, Role, ScopePath, granted, reached
from cnr.domain.audit import ANONYMOUS, Who
from cnr.domain.errors import StoreTrouble, TokenRefused, Unauthorized
from cnr.store.base import Version
from cnr.store.records import TokenRecord, UserRecord


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `record`: what a bearer token names him by; None for anybody.

    `scopes`: what his bearer token was made for; None where he showed a password or a robot token itself. `owner`: the
    user whose rights bound those of this robot token.
    """

    name: str | None = None
    record: bearer.Caller | None = None
    password_id: str = ""
    admin: bool = False
    grants: Sequence[Mapping[Path, Role]] = ()
    reach: Mapping[ScopePath, tuple[Right, ...]] = msgspec.field(default_factory=dict)
    scopes: tuple[Scope, ...] | None = None
    owner: "Caller | None" = None

    @property
    def identity(self) -> str:
        """The same for all sessions of one user or robot token, and for nobody else; empty for anybody."""
        made_for = self.record
        return "" if made_for is None else f"{made_for.kind}:{made_for.id}:{made_for.born}"

    @property
    def is_robot(self) -> bool:
        """Whether this is a robot token."""
        return self.record is not None and self.record.kind == "robot"

    @property
    def is_anybody(self) -> bool:
        """Whether there was no name with the request."""
        return self.record is None

    @property
    def who(self) -> Who:
        """As the audit log names him."""
        if self.record is None:
            return ANONYMOUS
        if not self.is_robot:
            return Who("user", self.record.id)
        return Who("token", (self.name or "").removeprefix("token "), self.record.id)

    def roles(self) -> dict[str, Role]:
        """The highest role at each path where he has one."""
        found: dict[str, Role] = {}
        for grants in self.grants:
            for path, role in grants.items():
                if path not in found or ROLES[found[path]] < ROLES[role]:
                    found[path] = role
        return dict(sorted(found.items()))

    def rights(self, path: str | None) -> Rights:
        """What he may do at `path`, visibility aside; None: in the whole registry, and where no path can be."""
        if self.admin:
            return ALL
        if path is None:
            return NONE
        found = reached(self.reach, path) if self.reach else NONE
        for grants in self.grants:
            found |= granted(grants, path)
        return found if self.owner is None else found & self.owner.rights(path)


ANYBODY = Caller()


class Callers:
    """Finds out who asks. Without `backoff` nobody has to wait after a wrong password."""

    def __init__(
        self,
        accounts: Accounts,
        tokens: Tokens,
        passwords: Passwords,
        bearers: Bearer,
        backoff: Backoff | None = None,
        *,
        htpasswd: Htpasswd | None = None,
    ) -> None:
        self._backoff = backoff
        self._accounts = accounts
        self._tokens = tokens
        self._passwords = passwords
        self._bearers = bearers
        self._htpasswd = htpasswd

    async def of(self, authorization: str | None, address: str = "") -> Caller:
        """Who sends this header from this address; anybody without one.

        Raises Unauthorized for a wrong password or robot token, TooManyFailures as `named`, and TokenRefused for a
        bearer token of no use.
        """
        if authorization is None:
            return ANYBODY
        scheme, _, credentials = authorization.strip().partition(" ")
        credentials = credentials.strip()
        match scheme.lower():
            case "basic":
                name, password = _split(credentials)
                # skopeo without a password shows an empty one, where Basic is asked for
                return await self.named(name, password, address) if name or password else ANYBODY
            case "bearer" if credentials.startswith("cnr_"):
                return await self._robot(credentials)
            case "bearer":
                return await self._of_bearer(credentials)
        raise Unauthorized("the Authorization header is neither Basic nor Bearer")

    async def named(self, name: str, password: str, address: str = "") -> Caller:
        """The user of this password; or whose robot token the password is, then the name does not matter.

        Raises Unauthorized, and TooManyFailures where too many wrong ones came before.
        """
        if password.startswith("cnr_"):
            return await self._robot(password)
        found = await self._accounts.user(name) if _is_name(name) else None
        if found is None and (stored := await self._in_file(name)) is not None:
            await self.require_right(name, password, stored, version_of(stored), address=address)
            return await self._file_user(name, stored)
        stored, version = (found.record.password, found.version) if found else (None, None)
        await self.require_right(name, password, stored, version, address=address)
        if found is None:
            raise _wrong()
        if found.record.password.startswith(BCRYPT):
            found = await self._rehashed(name, password, found)
        return await self._user(name, found)

    async def require_right(
        self, name: str, password: str, stored: str | None, version: Version | str | None, *, address: str
    ) -> None:
        """Have the password compared with the hash that is `stored` for `name`, in a record of this version.

        Raises Unauthorized, and TooManyFailures as `named`.
        """
        attempt = self._backoff.attempt(address, name) if self._backoff else None
        before = attempt.begin if attempt else None
        if not await self._passwords.right(name, password, stored, version, before=before):
            raise _wrong()
        if attempt is not None:
            attempt.right()

    async def _rehashed(self, name: str, password: str, found: Read[UserRecord]) -> Read[UserRecord]:
        """The user, whose password is kept as argon2id from now on: before anything names the record's Version."""
        try:
            await self._accounts.rehash(name, found.record.password, await self._passwords.hash(password))
        except StoreTrouble:
            return found  # the next login tries again
        now = await self._accounts.user(name)
        if now is None or now.record.password_id != found.record.password_id:
            raise _wrong()
        self._passwords.learn(name, password, now.record.password, now.version)
        return now

    async def refreshed(self, token: str) -> Caller:
        """The user of a refresh token, unless he changed his password since. Raises Unauthorized."""
        made_for = (await self._bearers.read(token, use="refresh")).caller
        if made_for is None or made_for.kind == "robot":
            raise _revoked()
        if made_for.kind == "file":
            return await self._of_file(made_for)
        found = await self._accounts.user(made_for.id)
        if found is None or (made_for.born, made_for.version) != (found.record.born, found.record.password_id):
            raise _revoked()
        return await self._user(made_for.id, found)

    async def _of_bearer(self, token: str) -> Caller:
        claims = await self._bearers.read(token)
        made_for = claims.caller
        if made_for is None:
            return Caller(scopes=claims.access)
        if made_for.kind == "user":
            user = await self._accounts.user(made_for.id)
            if user is None or (user.record.born, user.version) != (made_for.born, made_for.version):
                raise _revoked()
            return await self._user(made_for.id, user, claims.access)
        if made_for.kind == "file":
            return await self._of_file(made_for, claims.access)
        robot = await self._tokens.valid(made_for.id)
        if robot is None or (robot.record.born, robot.version) != (made_for.born, made_for.version):
            raise _revoked()
        return _as_caller(made_for.id, robot, await self._owner(robot.record), claims.access)

    async def _of_file(self, made_for: bearer.Caller, scopes: tuple[Scope, ...] | None = None) -> Caller:
        """The user of the htpasswd file, if his entry is what it was and no record took his name."""
        stored = await self._in_file(made_for.id)
        taken = await self._accounts.user(made_for.id) is not None
        if stored is None or taken or version_of(stored) != made_for.version:
            raise _revoked()
        return await self._file_user(made_for.id, stored, scopes)

    async def _in_file(self, name: str) -> str | None:
        return await self._htpasswd.stored(name) if self._htpasswd is not None else None

    async def _file_user(self, name: str, stored: str, scopes: tuple[Scope, ...] | None = None) -> Caller:
        group = await self._accounts.group(GROUP)
        version = version_of(stored)
        return Caller(
            name=name,
            record=bearer.Caller("file", name, "", version),
            password_id=version,
            grants=(group.record.grants,) if group is not None else (),
            scopes=scopes,
        )

    async def _owner(self, token: TokenRecord) -> Caller | None:
        """Who bounds a token's rights; None where nobody does. Raises Unauthorized where he is not there any more."""
        if not token.owner:
            return None
        user = await self._accounts.user(token.owner)
        if user is not None and user.record.born == token.owner_born:
            return await self._user(token.owner, user)
        stored = await self._in_file(token.owner) if user is None and not token.owner_born else None
        if stored is None:
            raise _revoked()
        return await self._file_user(token.owner, stored)

    async def _robot(self, token: str) -> Caller:
        found = await self._tokens.check(token)
        if found is None:
            raise _wrong()
        return _as_caller(*found, await self._owner(found[1].record))

    async def _user(self, name: str, found: Read[UserRecord], scopes: tuple[Scope, ...] | None = None) -> Caller:
        user = found.record
        return Caller(
            name=name,
            record=bearer.Caller("user", name, user.born, found.version),
            password_id=user.password_id,
            admin=user.admin,
            grants=(user.grants, *await self._accounts.group_grants(user)) if not user.admin else (),
            scopes=scopes,
        )


def _as_caller(
    token_id: str, found: Read[TokenRecord], owner: Caller | None, scopes: tuple[Scope, ...] | None = None
) -> Caller:
    return Caller(
        name=f"token {found.record.name}",
        record=bearer.Caller("robot", token_id, found.record.born, found.version),
        reach=found.record.scopes,
        scopes=scopes,
        owner=owner,
    )


def _is_name(name: str) -> bool:
    """Whether a key can be made of it; the grammar of names is for those who make them."""
    return 0 < len(name) <= 64 and name.isascii() and name.isprintable() and "/" not in name


def _split(credentials: str) -> tuple[str, str]:
    """Name and password of Basic credentials. Raises Unauthorized. Source: RFC 7617."""
    try:
        text = base64.b64decode(credentials, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Unauthorized("the Basic credentials cannot be read") from None
    name, colon, password = text.partition(":")
    if not colon:
        raise Unauthorized("the Basic credentials cannot be read")
    return name, password


def _wrong() -> Unauthorized:
    return Unauthorized("the user name or the password is wrong")


def _revoked() -> TokenRefused:
    return TokenRefused("the bearer token is not valid any more: get another one")

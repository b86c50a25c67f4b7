"""Who asks: from the Authorization header to a Caller with rights, read from records at every request."""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cnr.auth import bearer
from cnr.auth.accounts import Accounts, Read
from cnr.auth.bearer import Bearer
from cnr.auth.passwords import Passwords
from cnr.auth.scopes import Scope
from cnr.auth.tokens import Tokens
from cnr.domain.account import ALL, NONE, Path, Right, Rights, Role, ScopePath, granted, reached
from cnr.domain.audit import ANONYMOUS, Who
from cnr.domain.errors import TokenRefused, Unauthorized
from cnr.store.records import TokenRecord, UserRecord


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `record`: what a bearer token names him by; None for anybody.

    `scopes`: what his bearer token was made for; None where he showed a password or a robot token itself.
    """

    name: str | None = None
    record: bearer.Caller | None = None
    password_id: str = ""
    admin: bool = False
    grants: Sequence[Mapping[Path, Role]] = ()
    reach: Mapping[ScopePath, tuple[Right, ...]] = field(default_factory=dict)
    scopes: tuple[Scope, ...] | None = None

    @property
    def is_anybody(self) -> bool:
        """Whether there was no name with the request."""
        return self.record is None

    @property
    def who(self) -> Who:
        """As the audit log names him."""
        if self.record is None:
            return ANONYMOUS
        if self.record.kind == "user":
            return Who("user", self.record.id)
        return Who("token", (self.name or "").removeprefix("token "), self.record.id)

    def rights(self, path: str | None) -> Rights:
        """What he may do at `path`, visibility aside; None: in the whole registry, and where no path can be."""
        if self.admin:
            return ALL
        if path is None:
            return NONE
        found = reached(self.reach, path) if self.reach else NONE
        for grants in self.grants:
            found |= granted(grants, path)
        return found


ANYBODY = Caller()


class Callers:
    """Finds out who asks."""

    def __init__(self, accounts: Accounts, tokens: Tokens, passwords: Passwords, bearers: Bearer) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._passwords = passwords
        self._bearers = bearers

    async def of(self, authorization: str | None) -> Caller:
        """Who sends this header; anybody without one.

        Raises Unauthorized for a wrong password or robot token, and TokenRefused for a bearer token of no use.
        """
        if authorization is None:
            return ANYBODY
        scheme, _, credentials = authorization.strip().partition(" ")
        credentials = credentials.strip()
        match scheme.lower():
            case "basic":
                name, password = _split(credentials)
                # skopeo without a password shows an empty one, where Basic is asked for
                return await self.named(name, password) if name or password else ANYBODY
            case "bearer" if credentials.startswith("cnr_"):
                return await self._robot(credentials)
            case "bearer":
                return await self._of_bearer(credentials)
        raise Unauthorized("the Authorization header is neither Basic nor Bearer")

    async def named(self, name: str, password: str) -> Caller:
        """The user of this password; or whose robot token the password is, then the name does not matter.

        Raises Unauthorized.
        """
        if password.startswith("cnr_"):
            return await self._robot(password)
        found = await self._accounts.user(name) if _is_name(name) else None
        stored, version = (found.record.password, found.version) if found else (None, None)
        if not await self._passwords.right(password, stored, version) or found is None:
            raise _wrong()
        return await self._user(name, found)

    async def refreshed(self, token: str) -> Caller:
        """The user of a refresh token, unless he changed his password since. Raises Unauthorized."""
        made_for = (await self._bearers.read(token, use="refresh")).caller
        found = await self._accounts.user(made_for.id) if made_for is not None and made_for.kind == "user" else None
        if found is None or made_for is None:
            raise _revoked()
        if (made_for.born, made_for.version) != (found.record.born, found.record.password_id):
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
        robot = await self._tokens.valid(made_for.id)
        if robot is None or (robot.record.born, robot.version) != (made_for.born, made_for.version):
            raise _revoked()
        return _as_caller(made_for.id, robot, claims.access)

    async def _robot(self, token: str) -> Caller:
        found = await self._tokens.check(token)
        if found is None:
            raise _wrong()
        return _as_caller(*found)

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


def _as_caller(token_id: str, found: Read[TokenRecord], scopes: tuple[Scope, ...] | None = None) -> Caller:
    return Caller(
        name=f"token {found.record.name}",
        record=bearer.Caller("robot", token_id, found.record.born, found.version),
        reach=found.record.scopes,
        scopes=scopes,
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

"""Bearer tokens of our own: signed with HMAC-SHA256 and nothing else, for 300 seconds.

A token says for whom it was made (`caller`: id, born and Version of the record) and for what (`access`). Both are
looked at anew with every request, so a token outlives none of the rights that it was made with.

The keys are in the record store. A key signs when it is ROLL_S old, so that every server that has read the keys
since knows it; until then the one before does. An unknown key makes a server read them again. Source: RFC 7515,
RFC 7519, RFC 8725 (one algorithm, no key from a header).
"""

import secrets
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from cnr.auth.scopes import Scope
from cnr.domain.errors import TokenRefused
from cnr.store import keys, records
from cnr.store.base import RecordNotFound, RecordStore
from cnr.store.records import SigningKey, SigningKeys
from cnr.store.update import KEEP, Keep, Updater

ALGORITHM: Final = "HS256"
LIFETIME_S: Final = 300
REFRESH_S: Final = 30 * 86400
"""Lifetime of a refresh token, which `docker login` and others keep instead of a password."""
SERVICE: Final = "cnr-server"
TOKEN_LIMIT: Final = 16 * 1024
"""Characters of a token: more fit into no server's headers."""
ROTATE_S: Final = 30 * 86400
ROLL_S: Final = 30
FRESH_S: Final = 5.0
"""For so long a server trusts the keys that it has read."""
_KEPT_S: Final = ROTATE_S + REFRESH_S + 86400
_SKEW_S: Final = 5
_REMEMBERED: Final = 10_000
_US: Final = 1_000_000


class Caller(msgspec.Struct, frozen=True):
    """The record that a token was made for. `version` is its Version then; in a refresh token the password's id.

    `file`: an entry of the htpasswd file, which has no `born`.
    """

    kind: Literal["user", "robot", "file"]
    id: str
    born: str
    version: int | str


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says. `use` is `access` or `refresh`; no `caller`: anybody."""

    iss: str
    aud: str
    use: Literal["access", "refresh"]
    iat: int
    nbf: int
    exp: int
    jti: str
    caller: Caller | None = None
    access: tuple[Scope, ...] = ()


class Bearer:
    """Makes and reads tokens. `clock` gives microseconds UTC; `now_s` is a monotonic clock."""

    def __init__(
        self,
        store: RecordStore,
        updater: Updater,
        clock: Callable[[], int],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._updater = updater
        self._clock = clock
        self._now_s = now_s
        self._keys: tuple[SigningKey, ...] = ()
        self._key_ids: frozenset[str] = frozenset()
        self._read_at: float | None = None
        self._verified: dict[str, tuple[str, Claims]] = {}

    async def issue(
        self, caller: Caller | None, access: tuple[Scope, ...], *, use: Literal["access", "refresh"] = "access"
    ) -> tuple[str, int]:
        """A token and when it was made, in seconds UTC. Raises StoreTrouble."""
        key = await self._signing_key()
        now = self._clock() // _US
        claims = Claims(
            iss=SERVICE,
            aud=SERVICE,
            use=use,
            iat=now,
            nbf=now,
            exp=now + (LIFETIME_S if use == "access" else REFRESH_S),
            jti=secrets.token_hex(8),
            caller=caller,
            access=access,
        )
        header = {"alg": ALGORITHM, "kid": key.id, "typ": "JWT"}
        token = jwt.encode(header, msgspec.to_builtins(claims), OctKey.import_key(key.secret), algorithms=[ALGORITHM])
        return token, now

    async def read(self, token: str, *, use: Literal["access", "refresh"] = "access") -> Claims:
        """What a token says that is ours and of now. Raises TokenRefused."""
        now_us = self._clock()
        if not self._is_fresh():
            await self._reread()
        found = self._remembered(token) or await self._checked(token)
        now = now_us // _US
        if found.use != use or (found.iss, found.aud) != (SERVICE, SERVICE):
            raise TokenRefused("the bearer token was not made for this")
        if not found.nbf - _SKEW_S <= now < found.exp:
            raise TokenRefused("the bearer token is expired: get another one")
        return found

    def _remembered(self, token: str) -> Claims | None:
        """The claims of a token whose signature was looked at before, with a key that still counts."""
        known = self._verified.get(token)
        return known[1] if known is not None and known[0] in self._key_ids else None

    async def _checked(self, token: str) -> Claims:
        """The claims of a token with our signature. Raises TokenRefused."""
        key = await self._key(_key_id(token))
        try:
            decoded = jwt.decode(token, OctKey.import_key(key.secret), algorithms=[ALGORITHM])
            claims = msgspec.convert(decoded.claims, Claims, strict=True)
        except (JoseError, ValueError, TypeError, msgspec.ValidationError):
            raise _refused() from None
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[token] = key.id, claims
        return claims

    async def _key(self, key_id: str) -> SigningKey:
        for again in (False, True):
            for key in self._keys:
                if secrets.compare_digest(key.id, key_id):
                    return key
            if not again:
                await self._reread()
        raise _refused()

    async def _signing_key(self) -> SigningKey:
        now = self._clock()
        if not self._is_fresh():
            await self._reread()
        if not self._keys or self._keys[-1].created_at < now - ROTATE_S * _US:
            await self.rotate(only_if_old=True)
        settled = [key for key in self._keys if key.created_at <= now - ROLL_S * _US]
        return settled[-1] if settled else self._keys[0]

    async def rotate(self, *, only_if_old: bool = False, drop_others: bool = False) -> None:
        """Add a key, or with `drop_others` put one in the place of all: then every token is worth nothing at once."""
        now = self._clock()
        new = SigningKey(secrets.token_hex(8), secrets.token_bytes(32), now)

        def change(before: SigningKeys | None) -> SigningKeys | Keep:
            old = before.keys if before is not None else ()
            if only_if_old and old and old[-1].created_at >= now - ROTATE_S * _US:
                return KEEP
            kept = () if drop_others else tuple(key for key in old if key.created_at > now - _KEPT_S * _US)
            return SigningKeys(keys=(*kept, new))

        await self._updater.update(keys.SIGNING, SigningKeys, change)
        await self._reread()

    def _is_fresh(self) -> bool:
        return self._read_at is not None and self._now_s() - self._read_at < FRESH_S

    async def _reread(self) -> None:
        try:
            record = await self._store.get(keys.SIGNING)
            found: SigningKeys = records.decode(SigningKeys, record.value)
            self._keys = found.keys
        except RecordNotFound:
            self._keys = ()
        self._key_ids = frozenset(key.id for key in self._keys)
        self._read_at = self._now_s()


def _key_id(token: str) -> str:
    """The `kid` of a token whose header is exactly as we write it. Raises TokenRefused.

    Nothing else in a header is looked at, so no key and no address of one can come from there.
    """
    if len(token) > TOKEN_LIMIT or token.count(".") != 2 or not token.isascii():
        raise _refused()
    try:
        header: Any = msgspec.json.decode(_unpadded(token.partition(".")[0]))
    except (ValueError, msgspec.MsgspecError):
        raise _refused() from None
    if not isinstance(header, dict) or header.keys() != {"alg", "kid", "typ"}:
        raise _refused()
    if header["alg"] != ALGORITHM or header["typ"] != "JWT" or not isinstance(header["kid"], str):
        raise _refused()
    if not header["kid"].isascii():
        raise _refused()
    return str(header["kid"])


def _unpadded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _refused() -> TokenRefused:
    return TokenRefused("the bearer token is not one of this registry")

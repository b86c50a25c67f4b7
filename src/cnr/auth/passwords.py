"""Passwords: hashed with argon2id, checked against argon2id and bcrypt hashes.

A check costs tens of milliseconds and 64 MiB by intent, so two at most run at once, few wait, the same password is
checked once for all that show it at a time, and what came out is remembered for a minute. What is remembered is a
keyed hash of name, password and the Version of the record: after any change of the record, on whichever server, the
password is checked anew.

Whoever is refused has cost one argon2 and one bcrypt, be he a user of either kind or none: the time tells nobody who
there is.
"""

import asyncio
import base64
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, Protocol, TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import ARGON2_VERSION

from cnr.domain.account import PASSWORD_LIMIT
from cnr.domain.errors import StoreUnavailable
from cnr.store.base import Version

T = TypeVar("T")

AT_ONCE: Final = 2
"""Hashes computed at the same time by one process: what the pool that is passed in should have."""
WAITING: Final = 64
"""Checks that may wait for their turn: some three seconds. Who comes then is told to come again."""
REMEMBERED_S: Final = 60.0
REMEMBERED: Final = 10_000
BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES: Final = 72  # what bcrypt looks at, and Apache's htpasswd hashes
_BCRYPT_HASH: Final = re.compile(r"\$2[aby]\$(0[4-9]|1[0-7])\$[./A-Za-z0-9]{53}")
_USUAL_COST: Final = "05"
"""Of bcrypt, as `htpasswd -B` makes it unless told otherwise."""


class Verifier(Protocol):
    """What hashes and compares. It is told nothing of users."""

    def hash(self, password: str) -> str:
        """An argon2id hash, as PHC string."""
        ...

    def of_nobody(self) -> str:
        """An argon2id hash that is as dear to check as any other, and of no known password."""
        ...

    def argon2(self, stored: str, password: str) -> bool:
        """Whether an argon2id hash is one of `password`."""
        ...

    def bcrypt(self, stored: str, password: str) -> bool:
        """Whether a bcrypt hash is one of `password`."""
        ...


class Hashes:
    """The Verifier of servers."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()

    def hash(self, password: str) -> str:
        return self._hasher.hash(password)

    def of_nobody(self) -> str:
        # made of random bytes: to compute one took every start of a server 50 ms
        hasher = self._hasher
        salt, digest = _phc(secrets.token_bytes(hasher.salt_len)), _phc(secrets.token_bytes(hasher.hash_len))
        costs = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
        return f"$argon2id$v={ARGON2_VERSION}${costs}${salt}${digest}"

    def argon2(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (Argon2Error, InvalidHashError):
            return False

    def bcrypt(self, stored: str, password: str) -> bool:
        try:
            return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES], stored.encode())
        except ValueError:
            return False


class Passwords:
    """Hashes and checks. `pool` does the work; `now_s` is a monotonic clock."""

    def __init__(self, pool: Executor, now_s: Callable[[], float], verifier: Verifier | None = None) -> None:
        self._pool = pool
        self._verifier = verifier or Hashes()
        self._key = secrets.token_bytes(32)
        self._right, self._wrong = _Memory(now_s), _Memory(now_s)
        self._checking: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting = 0
        # Of no password, for users of the other kind and of none. bcrypt's is of the cost that was met last.
        self._nobody = self._verifier.of_nobody()
        self._nobody_bcrypt = _of_nobody(_USUAL_COST)

    async def hash(self, password: str) -> str:
        """What to keep instead of `password`."""
        return await self._in_pool(lambda: self._verifier.hash(password))

    async def right(
        self,
        name: str,
        password: str,
        stored: str | None,
        version: Version | str | None,
        *,
        before: Callable[[], None] | None = None,
    ) -> bool:
        """Whether `stored`, the hash in a record of this Version, is one of `password`; None: of nobody.

        `before` is called before a check of a password that was never right before, and its error is raised. Raises
        StoreUnavailable while too many checks wait.
        """
        if len(password) > PASSWORD_LIMIT:
            return False
        place = self._place(name, password, stored, version)
        if self._right.has(place):
            return True
        task = self._checking.get(place)
        if task is None:
            self._require_room()
            if before is not None and not self._right.had(place):
                before()
            if self._wrong.has(place):
                return False
            task = asyncio.create_task(self._checked(password, stored, place))
            self._checking[place] = task
            task.add_done_callback(lambda _: self._checking.pop(place, None))
        return await asyncio.shield(task)

    def learn(self, name: str, password: str, stored: str, version: Version) -> None:
        """Take `stored` for a hash of `password` without a check: it was made of it anew."""
        self._right.add(self._place(name, password, stored, version))

    async def _checked(self, password: str, stored: str | None, place: bytes) -> bool:
        found = await self._in_pool(partial(self._check, password, stored))
        (self._right if found else self._wrong).add(place)
        return found

    def _check(self, password: str, stored: str | None) -> bool:
        if stored is not None and stored.startswith(BCRYPT):
            return self._check_bcrypt(password, stored)
        if self._verifier.argon2(stored or self._nobody, password) and stored is not None:
            return True
        self._verifier.bcrypt(self._nobody_bcrypt, password)
        return False

    def _check_bcrypt(self, password: str, stored: str) -> bool:
        if self._nobody_bcrypt[4:6] != stored[4:6] and is_bcrypt(stored):
            self._nobody_bcrypt = _of_nobody(stored[4:6])
        if self._verifier.bcrypt(stored, password):
            return True
        self._verifier.argon2(self._nobody, password)
        return False

    def _place(self, name: str, password: str, stored: str | None, version: Version | str | None) -> bytes:
        parts = (name, stored or "", str(version), password)
        text = b"\0".join(part.encode("utf-8", "surrogatepass") for part in parts)
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _require_room(self) -> None:
        if self._waiting >= WAITING:
            raise StoreUnavailable("too many passwords are being checked; try again")

    async def _in_pool(self, work: Callable[[], T]) -> T:
        self._require_room()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1


class _Memory:
    """What was asked within the last minute."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def has(self, place: bytes) -> bool:
        until = self._until.get(place)
        return until is not None and self._now_s() < until

    def had(self, place: bytes) -> bool:
        """Also longer ago, as long as there is room to know that."""
        return place in self._until

    def add(self, place: bytes) -> None:
        self._until[place] = self._now_s() + REMEMBERED_S
        self._until.move_to_end(place)
        if len(self._until) > REMEMBERED:
            self._until.popitem(last=False)


def is_bcrypt(stored: str) -> bool:
    """Whether this is a bcrypt hash, as `htpasswd -B` makes it."""
    return _BCRYPT_HASH.fullmatch(stored) is not None


def _phc(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")


def _of_nobody(cost: str) -> str:
    """A bcrypt hash of no known password that is as dear to check as any of this cost."""
    return bcrypt.gensalt(int(cost)).decode() + "." * 31

"""Passwords: hashed with argon2id, checked against argon2id and bcrypt hashes.

A check costs tens of milliseconds and 64 MiB by intent, so two at most run at once, few wait, the same password is
checked once for all that show it at a time, and what was right is remembered for a minute. What is remembered is a
keyed hash of the password and of the Version of its record: after any change of the record, on whichever server, the
password is checked anew.
"""

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Final, TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

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


class Passwords:
    """Hashes and checks. `pool` does the work; `now_s` is a monotonic clock."""

    def __init__(self, pool: Executor, now_s: Callable[[], float]) -> None:
        self._pool = pool
        self._now_s = now_s
        self._hasher = PasswordHasher()
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, float] = OrderedDict()
        self._checking: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting = 0
        # Of no password. Checked for users that do not exist, so that the time tells nobody which ones do.
        self._nobody = self._hasher.hash(secrets.token_urlsafe())

    async def hash(self, password: str) -> str:
        """What to keep instead of `password`."""
        return await self._in_pool(lambda: self._hasher.hash(password))

    async def right(
        self,
        password: str,
        stored: str | None,
        version: Version | None,
        *,
        before: Callable[[], None] | None = None,
    ) -> bool:
        """Whether `stored`, the hash in a record of this Version, is one of `password`; None: of nobody.

        `before` is called before a check of a password that was never right before, and its error is raised. Raises
        StoreUnavailable while too many checks wait.
        """
        if len(password) > PASSWORD_LIMIT:
            return False
        place = self._place(password, stored, version)
        if self._is_known(place):
            return True
        task = self._checking.get(place)
        if task is None:
            self._require_room()
            if before is not None and place not in self._known:
                before()
            task = asyncio.create_task(self._checked(password, stored, place))
            self._checking[place] = task
            task.add_done_callback(lambda _: self._checking.pop(place, None))
        return await asyncio.shield(task)

    async def _checked(self, password: str, stored: str | None, place: bytes) -> bool:
        found = await self._in_pool(partial(self._check, password, stored))
        if found:
            self._remember(place)
        return found

    def _check(self, password: str, stored: str | None) -> bool:
        if stored is not None and stored.startswith(BCRYPT):
            return _check_bcrypt(password, stored)
        try:
            return self._hasher.verify(stored or self._nobody, password) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False

    def _place(self, password: str, stored: str | None, version: Version | None) -> bytes:
        parts = (stored or "", str(version), password)
        text = b"\0".join(part.encode("utf-8", "surrogatepass") for part in parts)
        return hashlib.blake2b(text, key=self._key, digest_size=32).digest()

    def _is_known(self, place: bytes) -> bool:
        until = self._known.get(place)
        return until is not None and self._now_s() < until

    def _remember(self, place: bytes) -> None:
        self._known[place] = self._now_s() + REMEMBERED_S
        self._known.move_to_end(place)
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

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


def is_bcrypt(stored: str) -> bool:
    """Whether this is a bcrypt hash, as `htpasswd -B` makes it."""
    try:
        return stored.startswith(BCRYPT) and len(bcrypt.hashpw(b"", stored.encode("ascii"))) == 60
    except ValueError:
        return False


def _check_bcrypt(password: str, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password.encode("utf-8", "surrogatepass")[:_BCRYPT_BYTES], stored.encode())
    except ValueError:
        return False

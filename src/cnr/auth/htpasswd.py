"""An htpasswd file: users with bcrypt hashes, as `htpasswd -B` makes them, taken over once or followed.

A followed file is looked at when somebody shows a name that is no user's record, at most every CHECK_S. What cannot be
read lets nobody in: whoever takes the file away takes all its users away.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cnr.auth.passwords import is_bcrypt
from cnr.domain.account import parse_user
from cnr.domain.errors import InvalidName

CHECK_S: Final = 2.0
"""Seconds for which a change of the file may stay unseen."""
SIZE_LIMIT: Final = 16 * 1024 * 1024
GROUP: Final = "htpasswd"
"""The group, if there is one, whose roles all users of the file have."""
_log = logging.getLogger("cnr.auth")


def read_entries(text: str) -> tuple[dict[str, str], list[tuple[int, str]]]:
    """Hashes by name, and what is wrong with which lines: never with a hash in it. The last line of a name counts."""
    found: dict[str, str] = {}
    wrong: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.strip().partition(":")
        try:
            parse_user(name)
        except InvalidName as exc:
            wrong.append((number, exc.message))
            continue
        if is_bcrypt(stored):
            found[name] = stored
        else:
            wrong.append((number, "no bcrypt hash: make it with htpasswd -B"))
    return found, wrong


class Htpasswd:
    """A file that is followed. `now_s` is a monotonic clock."""

    def __init__(self, path: Path, now_s: Callable[[], float]) -> None:
        self._path = path
        self._now_s = now_s
        self._checked_at = now_s() - CHECK_S
        self._seen: tuple[int, ...] | None = None
        self._entries: dict[str, str] = {}
        self._readable = True

    async def stored(self, name: str) -> str | None:
        """The bcrypt hash of this user; None where the file has none. As the file was some CHECK_S ago."""
        now = self._now_s()
        if now - self._checked_at >= CHECK_S:
            self._checked_at = now
            await asyncio.to_thread(self._look)
        return self._entries.get(name)

    def _look(self) -> None:
        try:
            found = os.stat(self._path)
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            if found.st_size > SIZE_LIMIT:
                raise OSError(0, f"it has more than {SIZE_LIMIT} bytes")
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError as exc:
            if self._readable:
                _log.warning("nobody in %s may log in, it cannot be read: %s", self._path, exc.strerror)
            self._seen, self._entries, self._readable = None, {}, False
            return
        self._entries, wrong = read_entries(text)
        self._seen, self._readable = seen, True
        for number, why in wrong[:10]:
            _log.warning("line %d of %s is left out: %s", number, self._path, why)


def version_of(stored: str) -> str:
    """What changes whenever the entry does, and tells nothing of it."""
    return hashlib.sha256(b"cnr htpasswd entry\0" + stored.encode()).hexdigest()[:32]

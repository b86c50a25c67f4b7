"""Who shows wrong passwords has to wait, longer each time, and no hash is computed for him meanwhile.

Counted are tries, before they are checked: so many at once gain nothing. A right one takes its own back. Who guesses
one user's password from one address waits soon; who guesses many users' from one address, or one user's from many
addresses, later and less, because others may have to wait with him. A password that was right before is never kept
waiting (auth/passwords.py): nobody can lock a user out who is at work.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cnr.domain.addresses import party
from cnr.domain.errors import TooManyFailures

FORGET_S: Final = 900.0
"""Seconds without a try after which everything is forgotten."""
REMEMBERED: Final = 10_000
"""Entries of each kind; the one that was not touched for longest goes first."""
_ADDRESS_TIMES: Final = 4
_NAME_TIMES: Final = 20
_NAME: Final = 64


@dataclass(slots=True)
class _Tries:
    count: int
    last: float
    until: float


class _Table:
    """Tries by key. `free` wrong ones cost nothing; then one waits `first_s`, the next twice as long, to `most_s`."""

    def __init__(self, *, free: int, first_s: float, most_s: float) -> None:
        self._free = free
        self._first_s = first_s
        self._most_s = most_s
        self._tries: OrderedDict[str, _Tries] = OrderedDict()

    def wait(self, key: str, now: float) -> float:
        found = self._tries.get(key)
        return 0.0 if found is None else found.until - now

    def add(self, key: str, now: float) -> None:
        found = self._tries.get(key)
        if found is None or now - found.last > FORGET_S:
            found = self._tries[key] = _Tries(0, now, 0.0)
        self._tries.move_to_end(key)
        found.count += 1
        found.last = now
        doublings = found.count - self._free
        found.until = now + min(self._first_s * 2.0 ** min(doublings, 30), self._most_s) if doublings >= 0 else 0.0
        if len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)

    def __len__(self) -> int:
        return len(self._tries)

    def forget(self, key: str) -> None:
        self._tries.pop(key, None)

    def take_back(self, key: str) -> None:
        if found := self._tries.get(key):
            found.count -= 1
            found.until = 0.0


class Backoff:
    """Counts wrong passwords in this process. After `free` in a row for one user from one address the next one waits.

    `now_s` is a monotonic clock.
    """

    def __init__(self, now_s: Callable[[], float], *, free: int) -> None:
        self.now_s = now_s
        self.pairs = _Table(free=free, first_s=1.0, most_s=300.0)
        self.addresses = _Table(free=free * _ADDRESS_TIMES, first_s=1.0, most_s=60.0)
        self.names = _Table(free=free * _NAME_TIMES, first_s=1.0, most_s=1.0)

    def attempt(self, address: str, name: str) -> "Attempt":
        """One try of a password that may be wrong."""
        return Attempt(self, party(address), name[:_NAME])


class Attempt:
    """Nothing is counted before `begin`, which may be left out."""

    def __init__(self, backoff: Backoff, who: str, name: str) -> None:
        self._backoff = backoff
        self._keys = ((backoff.pairs, f"{who} {name}"), (backoff.addresses, who), (backoff.names, name))
        self._begun = False

    def begin(self) -> None:
        """Count the try. Raises TooManyFailures, and counts nothing, where it comes too early."""
        now = self._backoff.now_s()
        wait = max(table.wait(key, now) for table, key in self._keys)
        if wait > 0:
            seconds = math.ceil(wait)
            raise TooManyFailures(f"too many wrong passwords: try again in {seconds} s", retry_after_s=seconds)
        for table, key in self._keys:
            table.add(key, now)
        self._begun = True

    def right(self) -> None:
        """It was right: what was counted for this user from this address is forgotten."""
        if not self._begun:
            return
        pair, *others = self._keys
        pair[0].forget(pair[1])
        for table, key in others:
            table.take_back(key)

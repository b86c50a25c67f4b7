"""How many requests a second an address and a caller may make.

Each worker process counts for itself. An allowed request costs one or two microseconds for each rate that is set; the
memory is bounded, whoever asks.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from cnr.domain.addresses import party
from cnr.domain.errors import TooManyRequests

PARTIES: Final = 50_000
"""Parties that are remembered; with twice as many active at a time some are let in too early. About 10 MB."""
HEALTH: Final = frozenset({"/healthz", "/readyz", "/cnr/healthz", "/cnr/readyz"})
"""Paths that are always answered: who watches over a busy server must not take it for a dead one."""
_ROUNDING_S: Final = 1e-6
_READING: Final = ("GET", "HEAD", "OPTIONS")


def address_of(scope: Scope) -> str:
    """Where the request came from, as far as that is known: behind a trusted proxy the client's own address."""
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else ""


class Rate:
    """`per_s` requests a second for each party, and after a rest as many at once as come in `burst_s` seconds.

    The token bucket as one number for each party, the time until which its tokens are spent (ATM Forum, "generic cell
    rate algorithm"). Numbers of the past say nothing, so what was not touched for a while goes with its generation.
    """

    def __init__(self, per_s: float, burst_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._interval = 1 / per_s
        self._slack = max(burst_s - self._interval, 0.0)
        self._lifetime_s = self._slack + 2 * self._interval
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turns_at = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, who: str) -> float:
        """0 where the request is within the rate, else the seconds to wait for the next one."""
        now = self._now_s()
        if now >= self._turns_at or len(self._young) >= PARTIES:
            self._old, self._young = self._young, {}
            self._turns_at = now + self._lifetime_s
        spent = self._young.get(who) or self._old.get(who, now)
        if spent < now:
            spent = now
        wait = spent - now - self._slack
        if wait > _ROUNDING_S:
            return wait
        self._young[who] = spent + self._interval
        return 0.0


@dataclass(frozen=True, slots=True)
class Admission:
    """The rates of a server; None where there is none. Writes count in both of their kind."""

    address: Rate | None = None
    address_writes: Rate | None = None
    caller: Rate | None = None
    caller_writes: Rate | None = None

    def arrived(self, scope: Scope) -> None:
        """Count a request before anything is done for it. Raises TooManyRequests."""
        if self.address is None and self.address_writes is None:
            return
        who = address_of(scope)
        if who and scope["path"] not in HEALTH:
            _take(self.address, self.address_writes, party(who), scope["method"], "your address")

    def known(self, scope: Scope, user: str | None) -> None:
        """Count a request of a user or token. Raises TooManyRequests."""
        if user is not None:
            _take(self.caller, self.caller_writes, user, scope["method"], user)


def _take(all_of_them: Rate | None, writes: Rate | None, who: str, method: str, name: str) -> None:
    if all_of_them is not None and (wait := all_of_them.take(who)):
        raise _refused(name, "requests", wait)
    if writes is not None and method not in _READING and (wait := writes.take(who)):
        raise _refused(name, "changes", wait)


def _refused(name: str, what: str, wait_s: float) -> TooManyRequests:
    seconds = max(math.ceil(wait_s - _ROUNDING_S), 1)
    return TooManyRequests(f"too many {what} by {name}: try again in {seconds} s", retry_after_s=seconds)

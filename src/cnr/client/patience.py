"""Asking again where that may help: with growing pauses, or the pause that the registry asks for, and not for ever."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from cnr.client.errors import ClientError, NoConnection, Refusal, Unreachable

T = TypeVar("T")

ATTEMPTS = 6
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
"""Above this a Retry-After is not waited for."""
_GROWN_PAUSE_S = 10.0


class Patience:
    """Repeats what fails for a passing reason: no answer, 429, or an error of the server (5xx).

    A registry that was never reached is given up at once: its name is more likely wrong than its network. For
    several threads. `sleep` and `chance` (0 to 1) are the clock and the dice.
    """

    def __init__(
        self,
        *,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._attempts = attempts
        self._sleep = sleep
        self._chance = chance
        self._reached = False

    def run(self, action: Callable[[], T]) -> T:
        """What `action` returns, which must be safe to repeat. Raises what it raised last."""
        attempt = 0
        while True:
            try:
                answer = action()
            except (Unreachable, Refusal) as exc:
                self.wait(exc, attempt)
                attempt += 1
            else:
                self._reached = True
                return answer

    def wait(self, exc: ClientError, attempt: int) -> None:
        """Sleeps before attempt number `attempt` + 2, or raises `exc` where another will not help or is too much."""
        self._reached = self._reached or not isinstance(exc, NoConnection)
        pause = self._pause(exc, attempt)
        if pause is None:
            exc.final = True
            raise exc
        self._sleep(pause)

    def _pause(self, exc: ClientError, attempt: int) -> float | None:
        """Seconds before the next attempt; None for none."""
        if attempt + 1 >= self._attempts or not passing(exc):
            return None
        if isinstance(exc, NoConnection) and not self._reached:
            return None
        asked = exc.retry_after if isinstance(exc, Unreachable) else None
        if asked is not None:
            return asked if asked <= LONGEST_PAUSE_S else None
        grown = min(FIRST_PAUSE_S * 2.0**attempt, _GROWN_PAUSE_S)
        return grown * (0.5 + self._chance() / 2)


def passing(exc: ClientError) -> bool:
    """Whether asking again may help."""
    if exc.final:
        return False
    return isinstance(exc, Unreachable) or (isinstance(exc, Refusal) and exc.status == 500)

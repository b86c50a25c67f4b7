"""The audit log, as one process writes it."""

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from cnr.audit.sinks import LINE_BYTES, Descriptor, Sink, TurningFile
from cnr.audit.times import written
from cnr.domain.audit import SERVER, Event
from cnr.domain.errors import StoreUnavailable

HELD_BYTES: Final = 1024 * 1024
"""Bytes of lines that wait for a log that cannot be written; beyond them lines are dropped and counted."""
STRANGERS_PER_S: Final = 10
STRANGERS_AT_ONCE: Final = 2000
"""Denials of nobody we know that are lines; others are counted. Or anybody could push out all that was written before:
10,000 in a second are nothing for a client, and 4 MB of lines."""
TELL_S: Final = 10.0
"""How often the count becomes a line."""
DESCRIPTORS: Final[Mapping[str, int]] = {"stdout": 1, "stderr": 2}

_STRANGERS: Final = ("anonymous", "unknown")
_log = logging.getLogger("cnr.audit")


class AuditLog:
    """Writes events to `sink`, in their order. For one process; `clock` gives microseconds UTC.

    When `record` returns, the line is with the kernel, so that it survives the end of the process, but not a power
    cut. A line that cannot be written waits, and goes out before the next one; that is an error in the server's log,
    once until it is better. With `strict` no change is let in meanwhile.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        clock: Callable[[], int],
        strict: bool = False,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._strict = strict
        self._encode = msgspec.json.Encoder().encode
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._dropped = 0
        self._failing = False
        self._budget = float(STRANGERS_AT_ONCE)
        self._now_s = now_s
        self._asked_at = now_s()
        self._unwritten = 0
        self._told_at = -TELL_S

    def record(self, event: Event) -> None:
        """Write one event; of very many denials of strangers only their number. Never raises."""
        if event.result == "denied" and event.who.kind in _STRANGERS and not self._within():
            self._unwritten += 1
        else:
            self._write(event)
        if self._unwritten and self._now_s() - self._told_at >= TELL_S:
            self._tell_count()

    def _within(self) -> bool:
        """Whether one more denial of a stranger may be a line."""
        now = self._now_s()
        more = (now - self._asked_at) * STRANGERS_PER_S
        self._budget, self._asked_at = min(self._budget + more, float(STRANGERS_AT_ONCE)), now
        if self._budget < 1:
            return False
        self._budget -= 1
        return True

    def _tell_count(self) -> None:
        count, self._unwritten, self._told_at = self._unwritten, 0, self._now_s()
        self._write(server_event("more-denials", {"count": count}, result="denied"))

    def _write(self, event: Event) -> None:
        self._hold(self._line(event))
        self._flush()

    def check(self) -> None:
        """Whether a change may be made now. Raises StoreUnavailable where it could not be written down."""
        if self._strict and self._held and not self._flush():
            raise StoreUnavailable("the audit log cannot be written, and nothing is changed without it")

    def close(self) -> None:
        """Write what waits, if that is possible, and let go of the sink."""
        if self._unwritten:
            self._tell_count()
        if not self._flush():
            _log.error("%d lines of the audit log are lost", len(self._held) + self._dropped)
        self._sink.close()

    def _line(self, event: Event) -> bytes:
        time = written(self._clock())
        line = b'{"time":"%b",%b\n' % (time.encode(), self._encode(event)[1:])
        if len(line) > LINE_BYTES:
            small = msgspec.structs.replace(event, target={"omitted": "too long"}, agent="")
            line = b'{"time":"%b",%b\n' % (time.encode(), self._encode(small)[1:])
        return line

    def _hold(self, line: bytes) -> None:
        if self._held_bytes + len(line) > HELD_BYTES:
            self._dropped += 1
            return
        self._held.append(line)
        self._held_bytes += len(line)

    def _flush(self) -> bool:
        """Whether nothing waits any more."""
        try:
            while self._held:
                self._sink.append(self._held[0])
                self._held_bytes -= len(self._held.popleft())
        except OSError as exc:
            if not self._failing:
                _log.error("the audit log cannot be written: %s", exc.strerror)
            self._failing = True
            return False
        if self._failing:
            self._recovered()
        return True

    def _recovered(self) -> None:
        self._failing = False
        _log.warning("the audit log is written again; %d lines are lost", self._dropped)
        if self._dropped:
            lost, self._dropped = self._dropped, 0
            self._write(server_event("lost-lines", {"lines": lost}, result="failed"))


def server_event(action: str, target: dict[str, Any], **more: Any) -> Event:
    """What the server does by itself."""
    return Event(**{"result": "ok", **more}, who=SERVER, action=action, protocol="server", call=action, target=target)


def open_sink(setting: str, *, most_bytes: int, most_s: int, keep: int, clock: Callable[[], int]) -> Sink | None:
    """Where the setting says: `stdout`, `stderr`, `off` (None), else a file. Nothing is opened yet."""
    if setting == "off":
        return None
    if setting in DESCRIPTORS:
        return Descriptor(DESCRIPTORS[setting])
    return TurningFile(Path(setting), most_bytes=most_bytes, most_s=most_s, keep=keep, clock=clock)

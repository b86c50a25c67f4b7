"""Reading the audit log: all its files in the order in which they were written."""

import gzip
import os
import re
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from cnr.audit.times import microseconds

Line = dict[str, Any]
_BEGIN: Final = b'{"time":"'
_NUMBERED: Final = re.compile(r"\.([0-9]{1,6})(?:\.gz)?")
_DATED: Final = re.compile(r"-[0-9]{8}(?:[0-9]{2}|-[0-9]{1,12})?(?:\.gz)?")
_POLL_S: Final = 0.3
_PIECE: Final = 1 << 20


def files_of(path: Path) -> list[Path]:
    """The files of the log at `path`, the oldest first: logrotate's with dates, `.2.gz`, `.1`, then itself."""
    numbered: list[tuple[int, Path]] = []
    dated: list[Path] = []
    for file in path.parent.iterdir() if path.parent.is_dir() else ():
        ending = file.name.removeprefix(path.name)
        if not file.name.startswith(path.name):
            continue
        if number := _NUMBERED.fullmatch(ending):
            numbered.append((-int(number[1]), file))
        elif _DATED.fullmatch(ending):
            dated.append(file)
    return [*sorted(dated), *(file for _, file in sorted(numbered)), *([path] if path.exists() else [])]


def _is_at(path: Path, opened: BinaryIO) -> bool:
    try:
        return path.stat().st_ino == os.fstat(opened.fileno()).st_ino
    except FileNotFoundError:
        return False


@dataclass(slots=True)
class Reader:
    """Reads lines. `broken` counts, per file, those that cannot be read: cut off by a full disk or a power cut."""

    broken: dict[Path, int] = field(default_factory=dict)

    def lines(self, path: Path, *, since_us: int | None = None) -> Iterator[Line]:
        """All lines of the log, without files that ended before `since_us`. Raises OSError."""
        for file in files_of(path):
            if since_us is None or file.stat().st_mtime * 1_000_000 >= since_us:
                yield from self._of_file(file)

    def follow(self, path: Path) -> Iterator[Line]:
        """As `lines`, and then those that come, for ever; also when the file is set aside and a new one begun."""
        for file in files_of(path):
            if file != path:
                yield from self._of_file(file)
        while True:
            with suppress(FileNotFoundError), path.open("rb") as current:
                yield from self._tail(path, current)
            time.sleep(_POLL_S)

    def _tail(self, path: Path, current: BinaryIO) -> Iterator[Line]:
        """What is in a file and what comes, until another one is at the path."""
        rest = b""
        while True:
            moved = not _is_at(path, current)  # asked before the read: then nothing comes behind that
            if os.fstat(current.fileno()).st_size < current.tell():
                current.seek(0)  # logrotate's copytruncate
            while data := current.read(_PIECE):
                *whole, rest = (rest + data).split(b"\n")
                for text in whole:
                    yield from self._parse(path, text)
            if moved:
                return
            time.sleep(_POLL_S)

    def _of_file(self, file: Path) -> Iterator[Line]:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as opened:
            try:
                for text in opened:
                    yield from self._parse(file, text)
            except (EOFError, zlib.error, gzip.BadGzipFile):
                self._count(file)

    def _parse(self, file: Path, text: bytes) -> Iterator[Line]:
        if not text.strip():
            return
        # Behind what a full disk cut off, another process's line may stand in the same line.
        for candidate in (text, text[text.rfind(_BEGIN) :] if text.rfind(_BEGIN) > 0 else b""):
            try:
                found = msgspec.json.decode(candidate)
                found["at"] = microseconds(found["time"])
            except (msgspec.MsgspecError, ValueError, KeyError, TypeError):
                if candidate is text:
                    self._count(file)
                continue
            yield found
            return

    def _count(self, file: Path) -> None:
        self.broken[file] = self.broken.get(file, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which lines are wanted; None is all. `path`: a namespace or a repository and what is below it."""

    since_us: int | None = None
    until_us: int | None = None
    user: str | None = None
    path: str | None = None
    action: str | None = None
    result: str | None = None
    address: str | None = None

    def takes(self, line: Line) -> bool:
        """Whether this line is wanted."""
        return (
            (self.since_us is None or line["at"] >= self.since_us)
            and (self.until_us is None or line["at"] < self.until_us)
            and (self.user is None or self._is_by(line.get("who")))
            and (self.path is None or f"{line.get('repository', '')}/".startswith(f"{self.path}/"))
            and (self.action is None or line.get("action") == self.action)
            and (self.result is None or line.get("result") == self.result)
            and (self.address is None or self._is_from(str(line.get("address", ""))))
        )

    def _is_by(self, who: Any) -> bool:
        return isinstance(who, dict) and self.user in (who.get("name"), who.get("token"), who.get("kind"))

    def _is_from(self, address: str) -> bool:
        if address == self.address:
            return True
        try:
            return ip_address(address) in ip_network(self.address or "", strict=False)
        except ValueError:
            return False

"""What this process knows of the feed: changes in order, without a gap, since a proven place."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from cnr.store.base import Cursor, CursorLost

PAGE: Final = 1000
KEPT: Final = 50_000
"""Changes kept in memory, at least: some 15 MB. More than the 1,000 that etcd puts into one answer."""
_ID: Final = 32


class Place(NamedTuple):
    """A write of the feed's key: its revision, and its random id.

    The id proves that the history up to here is the same: a restored backup has the revision again, with another id.
    """

    revision: int
    write: str

    @property
    def cursor(self) -> Cursor:
        return Cursor(f"{self.write}.{self.revision}")


def place_of(cursor: Cursor) -> Place:
    """The place that a cursor names. Raises CursorLost for what is no cursor of ours."""
    write, _, number = cursor.partition(".")
    if len(write) == _ID and number.isascii() and number.isdigit() and len(number) < 19:
        place = Place(int(number), write)
        if place.cursor == cursor:
            return place
    raise CursorLost(cursor[:80])


def entry(write: str, key: str) -> bytes:
    """The value of the feed's key: who wrote, and what changed ("": nothing, the feed begins)."""
    return f"{write} {key}".encode("ascii")


class Gap(Exception):
    """A change is missing: the watch has to begin again."""


class Log:
    """Places and the keys changed there. `start` was proven; etcd counts the writes of a key, so no gap goes unseen."""

    def __init__(self, start: Place, *, kept: int = KEPT) -> None:
        self._places = [start]
        self._keys = [""]
        self._count: int | None = None
        self._kept = kept

    @property
    def start(self) -> Place:
        return self._places[0]

    @property
    def end(self) -> Place:
        return self._places[-1]

    @property
    def is_proven(self) -> bool:
        return self._count is not None

    def proven(self, count: int) -> None:
        """The end is the `count`-th write of the feed's key. Raises CursorLost where another was known."""
        if self._count not in (None, count):
            raise CursorLost("the feed began anew")
        self._count = count

    def add(self, found: Any) -> None:
        """The next write of the feed's key, a KeyValue. Raises Gap."""
        if found.mod_revision <= self.end.revision:
            return
        if self._count is None or found.version != self._count + 1:
            raise Gap
        write, key = split(found)
        self._count += 1
        self._places.append(Place(found.mod_revision, write))
        self._keys.append(key)
        if len(self._places) > 2 * self._kept:
            del self._places[: -self._kept], self._keys[: -self._kept]

    def holds(self, place: Place) -> bool:
        """Whether `place` is behind the start, or is it. Raises CursorLost where another write has its revision."""
        if self.start.revision > place.revision:
            return False
        if self.end.revision >= place.revision:
            at = bisect_left(self._places, place.revision, key=lambda each: each.revision)
            if self._places[at] != place:
                raise CursorLost("another write is at this place of the feed")
        return True

    def after(self, place: Place) -> tuple[Sequence[str], Place]:
        """At most PAGE of the keys changed after `place`, which this holds, each once; and the place of the last."""
        at = bisect_left(self._places, place.revision, key=lambda each: each.revision) + 1
        keys = self._keys[at : at + PAGE]
        return list(dict.fromkeys(keys)), self._places[at + len(keys) - 1] if keys else place


def split(found: Any) -> tuple[str, str]:
    """The write id and the key in a value of the feed's key."""
    write, _, key = found.value.decode("ascii", "replace").partition(" ")
    return write, key


def is_at(found: Any, place: Place) -> bool:
    """Whether a KeyValue of the feed's key, or None, is the write at `place`."""
    return found is not None and (found.mod_revision, split(found)[0]) == place

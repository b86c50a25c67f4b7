"""Bytes counted, limited and hashed while they pass."""

import hashlib
from collections.abc import Iterable, Iterator

from cnr.domain.limits import too_large


class Tally:
    """What passed through it so far: `size` in bytes, `hex` the sha256."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._sha256 = hashlib.sha256()
        self.size = 0

    def through(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """`chunks` unchanged. Raises TooLarge, naming `what`, before it yields a byte above the limit."""
        for chunk in chunks:
            self.size += len(chunk)
            if self.size > self._limit:
                raise too_large(self._what, self._limit)
            self._sha256.update(chunk)
            yield chunk

    @property
    def hex(self) -> str:
        return self._sha256.hexdigest()

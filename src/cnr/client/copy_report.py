"""What a copy did: each reference, and what it cost in blobs. For several threads."""

import threading
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["copied", "there", "failed"]


@dataclass(frozen=True, slots=True)
class Item:
    """One tag, release, channel or digest; `digest` of its manifest, or of its tar where a CNR server has it."""

    reference: str
    status: Status
    digest: str | None = None
    reason: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The fields that are set."""
        named = {"reference": self.reference, "status": self.status, "digest": self.digest, "reason": self.reason}
        return {name: value for name, value in named.items() if value is not None}


@dataclass
class CopyReport:
    """The sums: blobs and manifests that were sent, mounted, or there already; bytes that were sent."""

    items: list[Item] = field(default_factory=list)
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("blobs", "mounted", "blobs_there", "manifests", "referrers", "bytes"), 0)
    )
    notes: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count(self, name: str, number: int = 1) -> None:
        """Adds to one of the sums."""
        with self._lock:
            self.counts[name] += number

    def note(self, text: str) -> None:
        """Something that the person should know; once."""
        with self._lock:
            if text not in self.notes:
                self.notes.append(text)

    @property
    def failed(self) -> bool:
        """Whether something was left out."""
        return any(item.status == "failed" for item in self.items)

    @property
    def changed(self) -> int:
        """How many writes there were so far."""
        return sum(self.counts[name] for name in ("blobs", "mounted", "manifests", "referrers"))

"""What a collection removed, or would remove."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from cnr.domain.names import Repository

Kind = Literal["tags", "manifests", "referrers", "contents", "blobs", "uploads"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(slots=True)
class Removed:
    """Records by their kind, and bytes of manifests and blobs."""

    records: Counter[Kind] = field(default_factory=Counter)
    size: int = 0

    def add(self, kind: Kind, size: int = 0) -> None:
        """One more record, with so many bytes that it named."""
        self.records[kind] += 1
        self.size += size


@dataclass(slots=True)
class Report:
    """Per repository what went (only where something did), and bytes that no record named.

    `failed` names repositories that were left alone because a record in them cannot be read, and why.
    """

    dry_run: bool = False
    repositories: dict[Repository, Removed] = field(default_factory=dict)
    unnamed: int = 0
    unnamed_size: int = 0
    failed: dict[Repository, str] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self.unnamed_size + sum(removed.size for removed in self.repositories.values())

    @property
    def count(self) -> int:
        """Records in all."""
        return sum(removed.records.total() for removed in self.repositories.values())

    def as_json(self) -> dict[str, Any]:
        """The report as JSON values; sizes in bytes."""
        found = {name: {**removed.records, "bytes": removed.size} for name, removed in self.repositories.items()}
        return {
            "dry_run": self.dry_run,
            "repositories": found,
            "unnamed": {"count": self.unnamed, "bytes": self.unnamed_size},
            "records": self.count,
            "bytes": self.size,
            "failed": dict(self.failed),
        }

"""What an old server knew of a package, as the readers hand it to the importer: read, and not yet believed.

Names, releases, formats and digests stay text here, because most of what an import has to refuse is just these.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class OldStoreError(Exception):
    """The store or backup as a whole cannot be read. The text is one sentence for the operator."""


class Unreadable(Exception):
    """One entry cannot be read; the others can. The text says why."""


class Archive(Protocol):
    """A package's gzip, read anew by each `chunks`, which raises Unreadable and InvalidArchive."""

    @property
    def size(self) -> int:
        """Bytes that `chunks` gives, or an upper bound of them."""
        ...

    def chunks(self) -> Iterator[bytes]:
        """The bytes from the beginning."""
        ...


@dataclass(frozen=True, slots=True)
class OldManifest:
    """A release in one format as it was recorded. `created_at` in microseconds UTC, None where it cannot be read.

    `recorded_size` in bytes of the gzip; None where the old server recorded none.
    """

    release: str
    media_type: str
    digest: str
    recorded_size: int | None
    created_at: int | None
    metadata: dict[str, Any] | None
    archive: Archive

    @property
    def metadata_size(self) -> int:
        """Bytes of the metadata as JSON."""
        return 0 if self.metadata is None else len(msgspec.json.encode(self.metadata))


@dataclass(frozen=True, slots=True)
class BadManifest:
    """An entry that is no manifest, and why."""

    release: str
    media_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class OldChannel:
    """A channel: `current` may name a release that is gone, or nothing at all."""

    name: str
    current: str | None
    members: Sequence[str]


@dataclass(frozen=True, slots=True)
class OldPackage:
    """A package by the name that it had, which may be one that the registry refuses.

    `reason` says why nothing of it could be read; the rest is empty then.
    """

    name: str
    created_at: int | None = None
    manifests: Sequence[OldManifest | BadManifest] = ()
    channels: Sequence[OldChannel] = ()
    reason: str = ""


class OldSource(Protocol):
    """A store or a backup that was opened: its packages one by one, each read when its turn comes."""

    @property
    def notes(self) -> Sequence[str]:
        """What was left aside on purpose, and why."""
        ...

    def packages(self) -> Iterator[OldPackage]:
        """Every package, by name."""
        ...


class Content(msgspec.Struct, frozen=True):
    """The descriptor in an old manifest."""

    digest: str
    size: Any = None


class ManifestFields(msgspec.Struct, frozen=True):
    """The fields of an old manifest that count; `blob`, `channels` and what else was embedded do not.

    Source: contracts/cnr.md section 1 and quirk 14.
    """

    content: Content
    media_type: str = msgspec.field(name="mediaType", default="")
    created_at: Any = None
    metadata: Any = None
    release: str = ""


def manifest(fields: ManifestFields, *, release: str, media_type: str, archive: Archive) -> OldManifest:
    """The manifest of these fields. A time, size or metadata of the wrong type counts as not recorded."""
    size, metadata = fields.content.size, fields.metadata
    return OldManifest(
        release=release,
        media_type=media_type,
        digest=fields.content.digest,
        recorded_size=size if isinstance(size, int) else None,
        created_at=moment(fields.created_at),
        metadata=metadata if isinstance(metadata, dict) else None,
        archive=archive,
    )


def moment(value: object) -> int | None:
    """An old server's time as microseconds UTC; None where it is none.

    Old servers wrote naive UTC in ISO 8601, without the fraction where it was zero. Source: contracts/cnr.md section 1.
    """
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        read = datetime.fromisoformat(value)
    except ValueError:
        return None
    aware = read if read.tzinfo else read.replace(tzinfo=UTC)
    microseconds = (aware - _EPOCH) // _MICROSECOND
    return microseconds if microseconds >= 0 else None


def written(at: int) -> str:
    """A time in microseconds UTC as an old server wrote it, always with six digits of fraction."""
    return (_EPOCH + at * _MICROSECOND).replace(tzinfo=None).isoformat(timespec="microseconds")


@dataclass(slots=True)
class ChannelTable:
    """Gathers a package's channels from both places where old servers kept them."""

    current: dict[str, str | None] = field(default_factory=dict)
    members: dict[str, list[str]] = field(default_factory=dict)

    def point(self, name: str, record: object) -> None:
        """Channel `name` has this record: `{name, current, package}`."""
        current = record.get("current") if isinstance(record, Mapping) else None
        self.current[name] = current if isinstance(current, str) else None

    def join(self, release: str, names: object) -> None:
        """`release` is a member of the channels `names`, if that is a list of names."""
        for name in names if isinstance(names, list) else ():
            if isinstance(name, str):
                self.members.setdefault(name, []).append(release)

    def channels(self) -> list[OldChannel]:
        """Every channel that has a record. Membership in one without a record never showed on an old server."""
        return [OldChannel(name, at, tuple(self.members.get(name, ()))) for name, at in sorted(self.current.items())]

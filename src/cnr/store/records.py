"""The record types: what is under each key. Bytes on disk; docs/design.md is normative.

A value is one byte, the record's format number, and a MessagePack map of the fields below (absent = default).
`write` is the id of the write that made this value. `born` is the id of the write that created the thing,
kept by later swaps and new after a delete: a pointer names (key, born), and a target with another born is absent.
Times are integer microseconds UTC.
"""

from typing import Any, Literal, TypeVar

import msgspec

from cnr.domain.account import GroupName, Path, Right, Role, ScopePath
from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import DataCorrupt, StoreTrouble, StoreUnavailable
from cnr.domain.names import Format, Repository, Tag

FORMAT = 1
_FORMAT_BYTE = bytes([FORMAT])


class StoredFormatTooNew(StoreUnavailable):
    """A record was written by a newer version of this software. Other servers can read it."""


class Stored(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every record carries."""

    write: str = ""


class Pointer(msgspec.Struct, frozen=True):
    """Names a manifest of the same repository: absent if the manifest there has another `born`."""

    digest: Digest
    born: str


class Repo(Stored, frozen=True, kw_only=True):
    """repos/: state and created_at of a package. Never deleted, only swapped."""

    state: Literal["live", "empty"]
    created_at: int


class PolicyRecord(Stored, frozen=True, kw_only=True):
    """policy/: what the operator set for a path; a field that is None is as the next shorter path or the server has it.

    `untagged_after` in seconds. `max_tags` and `max_bytes` are for this path and all below it, whatever longer paths
    have; None is the server's quota where the path is a namespace, and else none. `below`: whether a longer path ever
    had a record, so that readers must look for it.
    """

    immutability: Literal["releases", "strict", "none"] | None = None
    force: bool | None = None
    untagged_after: int | Literal["never"] | None = None
    visibility: Literal["public", "private"] | None = None
    max_tags: int | Literal["off"] | None = None
    max_bytes: int | Literal["off"] | None = None
    push_role: Role | None = None
    force_role: Role | None = None
    yank_role: Role | None = None
    delete_role: Role | None = None
    channels: dict[str, Role] | None = None
    formats: tuple[Format, ...] | None = None
    below: bool = False


class Membership(msgspec.Struct, frozen=True):
    """That a user is in a group: in none if the group there has another `born`."""

    group: GroupName
    born: str


class UserRecord(Stored, frozen=True, kw_only=True):
    """accounts/users/: a user. `password` is a hash, argon2id as PHC string or bcrypt.

    `password_id` is new with each password, and lives on through all other changes.
    """

    born: str
    password: str
    password_id: str
    created_at: int
    admin: bool = False
    groups: tuple[Membership, ...] = ()
    grants: dict[Path, Role] = {}


class GroupRecord(Stored, frozen=True, kw_only=True):
    """accounts/groups/: the roles that its members have."""

    born: str
    created_at: int
    grants: dict[Path, Role] = {}


class TokenRecord(Stored, frozen=True, kw_only=True):
    """accounts/tokens/: a robot token. `secret` is the SHA-256 of its secret part; 0 in `expires_at` is never.

    `owner`, with `owner_born`, is the user whose rights bound the token's; empty: it has them by itself.
    """

    born: str
    name: str
    secret: bytes
    scopes: dict[ScopePath, tuple[Right, ...]]
    created_at: int
    expires_at: int = 0
    created_by: str = ""
    owner: str = ""
    owner_born: str = ""


class TokenUse(Stored, frozen=True, kw_only=True):
    """accounts/used/: when a robot token was used last, to some minutes."""

    at: int


class SigningKey(msgspec.Struct, frozen=True):
    """A key of HMAC-SHA256: 32 random bytes."""

    id: str
    secret: bytes
    created_at: int


class SigningKeys(Stored, frozen=True, kw_only=True):
    """accounts/signing: the newest signs once every server has had the time to read it, all of them verify."""

    keys: tuple[SigningKey, ...] = ()


class FormatEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One format of a release: what the CNR API calls a manifest.

    `size` is that of the gzip which `contents/` names for the tar. `description` and `keywords` feed search only.
    """

    manifest: Pointer
    tar_digest: TarDigest
    size: int
    created_at: int
    metadata: dict[str, Any] | None = None
    description: str = ""
    keywords: tuple[str, ...] = ()


class Announced(msgspec.Struct, frozen=True, kw_only=True):
    """What a push is about to name under this tag, since `at`. Readers see nothing of it; garbage collection does."""

    at: int
    manifests: tuple[Pointer, ...] = ()
    contents: tuple[TarDigest, ...] = ()


class Yanked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """That a release should not be used any more: since when, and why. It stays where it is, and leaves all choices."""

    at: int
    reason: str = ""


class TagRecord(Stored, frozen=True, kw_only=True):
    """What is under tags/: one of the four kinds below."""


class ReleaseTag(TagRecord, frozen=True, kw_only=True, tag_field="kind", tag="release"):
    """A release: one record, so that a push commits in one swap. `manifest` is what the OCI tag resolves to.

    `index` is the server-made index of two and more formats; another index is none of this release's. `removed`:
    under `strict`, formats that it lost and the tars that these had.
    """

    born: str
    manifest: Pointer
    index: Pointer | None = None
    formats: dict[Format, FormatEntry] = {}
    removed: dict[Format, TarDigest] = {}
    yanked: Yanked | None = None
    announced: Announced | None = None


class Member(msgspec.Struct, frozen=True):
    """A release that belongs to a channel: absent if the release tag there has another `born`."""

    tag: Tag
    born: str


class ChannelTag(TagRecord, frozen=True, kw_only=True, tag_field="kind", tag="channel"):
    """A channel. `current` is a member's tag; if that is dead, the highest live member counts."""

    current: Tag
    members: tuple[Member, ...]


class PlainTag(TagRecord, frozen=True, kw_only=True, tag_field="kind", tag="plain"):
    """An OCI tag that is neither."""

    manifest: Pointer


class DeletedTag(TagRecord, frozen=True, kw_only=True, tag_field="kind", tag="deleted"):
    """What a deleted release leaves: the tars it had, per format, and the manifest that its tag resolved to.

    Or, without both, the place of a release to come.
    """

    contents: dict[Format, TarDigest] = {}
    manifest: Digest | None = None
    deleted_at: int = 0
    announced: Announced | None = None


AnyTag = ReleaseTag | ChannelTag | PlainTag | DeletedTag


class ManifestRecord(Stored, frozen=True, kw_only=True):
    """An OCI manifest: its bytes up to INLINE_MANIFEST, above that `blob_id` names them.

    `untagged_at`: when garbage collection first saw that it belongs to no tag; 0 while it does, or nobody asked.
    """

    born: str
    media_type: str
    size: int
    pushed_at: int
    origin: Literal["client", "server"]
    state: Literal["live", "condemned"] = "live"
    subject: Digest | None = None
    untagged_at: int = 0
    data: bytes | None = None
    blob_id: str | None = None


class BlobRecord(Stored, frozen=True, kw_only=True):
    """A blob of a repository: its bytes up to INLINE_BLOB, above that `blob_id` names them."""

    size: int
    touched_at: int
    state: Literal["live", "condemned"] = "live"
    data: bytes | None = None
    blob_id: str | None = None


class ContentsRecord(Stored, frozen=True, kw_only=True):
    """Which blob the CNR view serves for a tar: the first gzip of it that was stored."""

    digest: Digest
    size: int
    touched_at: int = 0
    state: Literal["live", "condemned"] = "live"


class ReferrerRecord(Stored, frozen=True, kw_only=True):
    """A row of the referrers API. `release` is set on a server-made index: it counts only while that tag names it."""

    born: str
    media_type: str
    size: int
    artifact_type: str | None = None
    annotations: dict[str, str] = {}
    release: Tag | None = None


class UploadPart(msgspec.Struct, frozen=True):
    """Bytes of an upload, stored under `id`. `sha256` is 64 hex digits."""

    id: str
    size: int
    sha256: str


class UploadRecord(Stored, frozen=True, kw_only=True):
    """uploads/: an open upload. Its parts, one after another, are the bytes that have come.

    `adopted` is the id of a part that a request began to make a blob of: whether it did is not known from here.
    `ended_at` is set where a slow one became a blob, and the record only tells garbage collection since when the push
    goes on. `owner` is who began it: nobody's where there are no accounts.
    """

    repository: Repository
    started_at: int
    touched_at: int
    parts: tuple[UploadPart, ...] = ()
    adopted: str = ""
    ended_at: int = 0
    owner: str = ""

    @property
    def size(self) -> int:
        """Bytes that have come: the offset at which the next piece begins."""
        return sum(part.size for part in self.parts)


class ChunkedBlob(Stored, frozen=True, kw_only=True):
    """chunked/: a blob whose bytes are under chunks/. `at` is when its state began; only a whole one is there."""

    state: Literal["writing", "whole", "deleted"]
    at: int
    size: int = 0


class Collection(Stored, frozen=True, kw_only=True):
    """meta/gc: who collects garbage, until when others leave it to him, and when the last run ended."""

    owner: str
    until: int
    finished_at: int = 0


class Unnamed(Stored, frozen=True, kw_only=True):
    """meta/gc-unnamed: ids in the BlobStore that no record named, and when a collector saw that first."""

    seen: dict[str, int] = {}


class Migration(Stored, frozen=True, kw_only=True):
    """meta/migration: which store is being copied to this one. It goes when all is here."""

    source: str


INLINE_MANIFEST = 128 * 1024
INLINE_BLOB = 16 * 1024
ACCOUNT_LIMIT = 256 * 1024
"""Bytes that the record of a user or group may have before another grant is refused: about 5,000 grants."""
TAG_LIMIT = 400 * 1024
"""Bytes that a tag record may have before another entry is refused."""

T = TypeVar("T")
_encoder = msgspec.msgpack.Encoder()
_decoders: dict[Any, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        Stored,
        Repo,
        PolicyRecord,
        UserRecord,
        GroupRecord,
        TokenRecord,
        TokenUse,
        SigningKeys,
        AnyTag,
        ManifestRecord,
        BlobRecord,
        ContentsRecord,
        ReferrerRecord,
        UploadRecord,
        ChunkedBlob,
        Collection,
        Unnamed,
        Migration,
    )
}


def encode(record: Stored) -> bytes:
    """The stored value of a record."""
    return _FORMAT_BYTE + _encoder.encode(record)


def decode(kind: type[T] | Any, value: bytes) -> T:
    """The record of `kind` in a stored value. Raises StoredFormatTooNew, DataCorrupt."""
    if value[:1] != _FORMAT_BYTE:
        raise _unreadable(value)
    try:
        decoded: T = _decoders[kind].decode(memoryview(value)[1:])
    except msgspec.DecodeError as exc:
        raise DataCorrupt(f"a stored record cannot be read: {exc}") from exc
    return decoded


def _unreadable(value: bytes) -> StoreTrouble:
    if value[:1] <= _FORMAT_BYTE:
        return DataCorrupt("a stored record cannot be read: it begins with no format")
    return StoredFormatTooNew(f"a record has format {value[0]}; this server reads {FORMAT}: upgrade it")

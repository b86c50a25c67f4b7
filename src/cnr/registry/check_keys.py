"""Which record belongs under a key, told by the key alone; a key must be the one that its own parts make."""

import re
from dataclasses import dataclass
from typing import Any, Final

from cnr.domain.digest import Digest, TarDigest, parse_digest
from cnr.domain.errors import BadInput
from cnr.domain.names import Repository, Tag, parse_repository, parse_tag
from cnr.store import keys
from cnr.store.base import is_blob_id
from cnr.store.records import (
    AnyTag,
    BlobRecord,
    ChunkedBlob,
    Collection,
    ContentsRecord,
    GroupRecord,
    ManifestRecord,
    Migration,
    PolicyRecord,
    ReferrerRecord,
    Repo,
    SigningKeys,
    Stored,
    TokenRecord,
    TokenUse,
    Unnamed,
    UploadRecord,
    UserRecord,
)

CONTENT: Final[dict[str, Any]] = {
    "repos": Repo,
    "policy": PolicyRecord,
    "tags": AnyTag,
    "manifests": ManifestRecord,
    "blobs": BlobRecord,
    "contents": ContentsRecord,
    "referrers": ReferrerRecord,
}
"""Kinds of keys that belong to a repository."""
OTHERS: Final[dict[str, Any]] = {
    keys.UPLOADS: UploadRecord,
    keys.CHUNKED: ChunkedBlob,
    keys.USERS: UserRecord,
    keys.GROUPS: GroupRecord,
    keys.TOKENS: TokenRecord,
    keys.token_use(""): TokenUse,
    keys.SIGNING: SigningKeys,
    keys.META_FORMAT: Stored,
    keys.META_MIGRATION: Migration,
    keys.META_GC: Collection,
    keys.META_GC_UNNAMED: Unnamed,
}
"""Other keys: the whole of it, or its beginning up to a slash."""
PROBES: Final = ("meta/probe-", "meta/check-")
"""What a server that starts, or `cnr storage check`, tries; they are removed at once."""
_NOBODY: Final = Repository("")
_TAR_DIGEST: Final = re.compile("[a-f0-9]{64}")
_NAME: Final = re.compile(r"[^/!]+")


@dataclass(frozen=True, slots=True)
class Place:
    """A key: the type of its record, its kind, and the parts of one that belongs to a repository."""

    kind: str
    type: Any
    repository: Repository
    rest: str

    @property
    def digest(self) -> Digest:
        """The last part, of a manifest, blob or referrer."""
        return Digest(self.rest.rpartition("/")[2])

    @property
    def tar_digest(self) -> TarDigest:
        """The last part, of contents."""
        return TarDigest(self.rest)


def place_of(key: str) -> Place:
    """What belongs under a key. Raises ValueError with the reason where it can be no key of ours."""
    kind = key.partition("/")[0]
    if kind in CONTENT:
        return _of_repository(key)
    if key in OTHERS:
        return Place(kind, OTHERS[key], _NOBODY, key)
    prefix, name = key[: key.rfind("/") + 1], key[key.rfind("/") + 1 :]
    if prefix not in OTHERS:
        raise ValueError("no such kind of key is known")
    known = is_blob_id(name) if prefix in (keys.UPLOADS, keys.CHUNKED) else bool(_NAME.fullmatch(name))
    if not known:
        raise ValueError("its name is none")
    return Place(prefix.rstrip("/"), OTHERS[prefix], _NOBODY, name)


def _of_repository(key: str) -> Place:
    found = keys.split(key)
    place = Place(found.kind, CONTENT[found.kind], found.repository, found.rest)
    try:
        parse_repository(found.repository)
        rebuilt = _REBUILT[found.kind](place)
    except BadInput as exc:
        raise ValueError(exc.message) from None
    if rebuilt != key:
        raise ValueError("its parts make another key")
    return place


def _referrer(place: Place) -> str:
    subject, _, digest = place.rest.partition("/")
    return keys.referrer(place.repository, parse_digest(subject), parse_digest(digest))


def _contents(place: Place) -> str:
    if not _TAR_DIGEST.fullmatch(place.rest):
        raise ValueError("it ends with no digest of a tar")
    return keys.contents(place.repository, TarDigest(place.rest))


_REBUILT: Final = {
    "repos": lambda place: keys.repo(place.repository),
    "policy": lambda place: keys.policy(place.repository),
    "tags": lambda place: keys.tag(place.repository, Tag(parse_tag(place.rest))),
    "manifests": lambda place: keys.manifest(place.repository, parse_digest(place.rest)),
    "blobs": lambda place: keys.blob(place.repository, parse_digest(place.rest)),
    "contents": _contents,
    "referrers": _referrer,
}

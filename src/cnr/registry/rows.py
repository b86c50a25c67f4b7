"""What a record means to the views: one Change for the record under a key of tags/, repos/, blobs/ or manifests/."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from cnr.domain.errors import DataCorrupt
from cnr.domain.names import Channel, Repository, Tag
from cnr.domain.version import lenient_of, release_of
from cnr.store import keys, records
from cnr.store.base import Record
from cnr.store.records import (
    BlobRecord,
    ChannelTag,
    DeletedTag,
    FormatEntry,
    ManifestRecord,
    PlainTag,
    ReleaseTag,
    Repo,
)
from cnr.store.views import Change, ChannelRow, FormatRow, PlainRow, ReleaseRow, RepoRow, Row, SizeRow

DESCRIPTION_LIMIT: Final = 1000
"""Characters of a description that search shows and finds."""
KEYWORDS_LIMIT: Final = 100
KEYWORD_LIMIT: Final = 100
"""Characters of one keyword."""

_KINDS: Final[dict[str, Any]] = {"repos": Repo, "blobs": BlobRecord, "manifests": ManifestRecord}

_log = logging.getLogger(__name__)


def read(record: Record) -> Any:
    """What a record says; None, and a line in the log, where it cannot be decoded.

    Raises StoredFormatTooNew.
    """
    kind = _KINDS.get(record.key.partition("/")[0], records.AnyTag)
    try:
        return records.decode(kind, record.value)
    except DataCorrupt as exc:
        # its own readers answer with an error; the lists of all other packages must not
        _log.error("the record %s cannot be read and is left out of all lists: %s", record.key, exc.message)
        return None


def change_of(record: Record, found: Any, chart: bytes | None = None) -> Change:
    """The change that a record is, which says `found`; a `chart` is how the classic Helm repository lists it."""
    key = keys.split(record.key)
    if found is None:
        return Change(record.key, record.version, None)
    if isinstance(found, BlobRecord | ManifestRecord):
        return Change(record.key, record.version, SizeRow(key.repository, found.size))
    row = _repo(key.repository, found) if isinstance(found, Repo) else _tag(key.repository, Tag(key.rest), found)
    yanked = isinstance(found, ReleaseTag) and found.yanked is not None
    return Change(record.key, record.version, row, chart, _since(found), yanked)


def _since(found: Any) -> int:
    if isinstance(found, ReleaseTag):
        if found.yanked is not None:
            return found.yanked.at
        return max((entry.created_at for entry in found.formats.values()), default=0)
    return found.deleted_at if isinstance(found, DeletedTag) else 0


def _repo(repository: Repository, record: Repo) -> Row | None:
    return RepoRow(repository, record.created_at) if record.state == "live" else None


def _tag(repository: Repository, tag: Tag, record: records.AnyTag) -> Row | None:
    match record:
        case ReleaseTag():
            return _release(repository, tag, record)
        case ChannelTag():
            members = tuple((member.tag, member.born) for member in record.members)
            return ChannelRow(repository, Channel(tag), record.current, members)
        case PlainTag():
            return PlainRow(repository, tag)
    return None


def _release(repository: Repository, tag: Tag, record: ReleaseTag) -> Row:
    release = release_of(tag) or lenient_of(tag)
    if release is None:
        return PlainRow(repository, tag)
    entries = [record.formats[format] for format in sorted(record.formats)]
    return ReleaseRow(
        repository,
        tag,
        release,
        record.born,
        tuple(FormatRow(format, record.formats[format].created_at) for format in sorted(record.formats)),
        next((entry.description for entry in entries if entry.description), "")[:DESCRIPTION_LIMIT],
        _keywords(entries),
        yanked=record.yanked is not None,
    )


def _keywords(entries: Iterable[FormatEntry]) -> tuple[str, ...]:
    found = dict.fromkeys(word[:KEYWORD_LIMIT] for entry in entries for word in entry.keywords)
    return tuple(found)[:KEYWORDS_LIMIT]

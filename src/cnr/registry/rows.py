"""What a record means to the views: one Change for the record under a key of tags/ or repos/."""

import logging
from collections.abc import Iterable
from typing import Any, Final

from cnr.domain.errors import DataCorrupt
from cnr.domain.names import Channel, Repository, Tag
from cnr.domain.version import lenient_of, release_of
from cnr.store import keys, records
from cnr.store.base import Record
from cnr.store.records import ChannelTag, FormatEntry, PlainTag, ReleaseTag, Repo
from cnr.store.views import Change, ChannelRow, FormatRow, PlainRow, ReleaseRow, RepoRow, Row

DESCRIPTION_LIMIT: Final = 1000
"""Characters of a description that search shows and finds."""
KEYWORDS_LIMIT: Final = 100
KEYWORD_LIMIT: Final = 100
"""Characters of one keyword."""

_log = logging.getLogger(__name__)


def change_of(record: Record) -> Change:
    """The change that a record is. A record that cannot be decoded shows as nothing, and is logged.

    Raises StoredFormatTooNew.
    """
    key = keys.split(record.key)
    try:
        found: Any = records.decode(Repo if key.kind == "repos" else records.AnyTag, record.value)
    except DataCorrupt as exc:
        # its own readers answer with an error; the lists of all other packages must not
        _log.error("the record %s cannot be read and is left out of all lists: %s", record.key, exc.message)
        return Change(record.key, record.version, None)
    row = _repo(key.repository, found) if isinstance(found, Repo) else _tag(key.repository, Tag(key.rest), found)
    return Change(record.key, record.version, row)


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
    )


def _keywords(entries: Iterable[FormatEntry]) -> tuple[str, ...]:
    found = dict.fromkeys(word[:KEYWORD_LIMIT] for entry in entries for word in entry.keywords)
    return tuple(found)[:KEYWORDS_LIMIT]

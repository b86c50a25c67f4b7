"""What a release leaves when it or one of its formats is deleted, and what it may come back with under `strict`.

A deleted release comes back with formats that it had, each with the tar that it had, or as the very manifest that it
was; once it is live, formats that it never had may be added, as to any release.
Source: contracts/oci-helm.md 6.4 (5), (8).
"""

from collections.abc import Mapping

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Format
from cnr.store.records import DeletedTag, ReleaseTag, TagRecord


def contents_of(record: TagRecord | None) -> dict[Format, TarDigest]:
    """Per format the tar that the release has, or had when it lost that format."""
    if isinstance(record, ReleaseTag):
        return record.removed | {format: entry.tar_digest for format, entry in record.formats.items()}
    return record.contents if isinstance(record, DeletedTag) else {}


def tombstone(record: ReleaseTag, at: int) -> DeletedTag:
    """What stands for a release that is deleted now."""
    return DeletedTag(contents=contents_of(record), manifest=record.manifest.digest, deleted_at=at)


def is_tombstone(record: TagRecord | None) -> bool:
    """Whether the record says what a deleted release was: not where one is only about to be pushed."""
    return isinstance(record, DeletedTag) and bool(record.contents or record.manifest)


def left_behind(before: TagRecord | None, formats: Mapping[Format, object], *, strict: bool) -> dict[Format, TarDigest]:
    """What a release of `formats` remembers of `before`, in whose place it stands."""
    if not strict:
        return {}
    return {format: tar for format, tar in contents_of(before).items() if format not in formats}


def may_come(before: TagRecord | None, contents: Mapping[Format, TarDigest], manifest: Digest | None = None) -> bool:
    """Whether, under `strict`, a release may get these `contents`, as `manifest`, where `before` stands."""
    if is_tombstone(before):
        assert isinstance(before, DeletedTag)
        known = bool(contents) and all(before.contents.get(format) == tar for format, tar in contents.items())
        return known or (manifest is not None and manifest == before.manifest)
    removed = before.removed if isinstance(before, ReleaseTag) else {}
    return all(removed.get(format, tar) == tar for format, tar in contents.items())

"""What a record means to the views."""

import pytest

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.errors import DataCorrupt
from cnr.domain.names import Format, Repository, Tag
from cnr.domain.version import Release
from cnr.registry.rows import DESCRIPTION_LIMIT, KEYWORD_LIMIT, KEYWORDS_LIMIT, change_of, read
from cnr.store import keys, records
from cnr.store.base import Record, Version
from cnr.store.records import FormatEntry, Pointer, ReleaseTag, StoredFormatTooNew
from cnr.store.views import FormatRow, PlainRow, ReleaseRow

APP = Repository("ns/app")
POINTER = Pointer(Digest("sha256:" + "0" * 64), "m")


def entry(created_at: int, description: str = "", *keywords: str) -> FormatEntry:
    return FormatEntry(
        manifest=POINTER,
        tar_digest=TarDigest("0" * 64),
        size=1,
        created_at=created_at,
        description=description,
        keywords=keywords,
    )


def stored(tag: str, **formats: FormatEntry) -> Record:
    record = ReleaseTag(born="b", manifest=POINTER, formats={Format(name): found for name, found in formats.items()})
    return Record(keys.tag(APP, tag), records.encode(record), Version(3))


def test_formats_are_sorted_and_the_first_description_counts() -> None:
    record = stored("1.0.0_x", kpm=entry(1, "of kpm", "b", "c"), helm=entry(2, "", "a", "b"))
    change = change_of(record, read(record))
    assert (change.key, change.version) == (record.key, 3)
    assert isinstance(change.row, ReleaseRow)
    assert change.row.release == Release("1.0.0+x")
    assert change.row.formats == (FormatRow(Format("helm"), 2), FormatRow(Format("kpm"), 1))
    assert (change.row.description, change.row.keywords) == ("of kpm", ("a", "b", "c"))


def test_what_search_keeps_is_bounded() -> None:
    record = stored("1.0.0", helm=entry(1, "x" * 5000, "y" * 5000, *map(str, range(500))))
    row = change_of(record, read(record)).row
    assert isinstance(row, ReleaseRow)
    assert len(row.description) == DESCRIPTION_LIMIT
    assert (len(row.keywords), len(row.keywords[0])) == (KEYWORDS_LIMIT, KEYWORD_LIMIT)


def test_a_release_under_a_tag_that_is_no_version_is_a_plain_tag() -> None:
    record = stored("latest", helm=entry(1))
    assert change_of(record, read(record)).row == PlainRow(APP, Tag("latest"))


def test_a_record_of_a_newer_server_is_refused() -> None:
    with pytest.raises(StoredFormatTooNew):
        read(Record(keys.tag(APP, "1.0.0"), bytes([records.FORMAT + 1]), Version(1)))


@pytest.mark.parametrize("value", [b"", b"\0", bytes([records.FORMAT]), bytes([records.FORMAT]) + b"\x81", b"\x01junk"])
def test_a_record_that_cannot_be_read_shows_as_nothing(value: bytes) -> None:
    record = Record(keys.tag(APP, "1.0.0"), value, Version(1))
    assert change_of(record, read(record)).row is None
    with pytest.raises(DataCorrupt):
        records.decode(records.AnyTag, value)


def test_a_release_that_only_helm_takes_for_one() -> None:
    record = stored("v1.2_b", helm=entry(1))
    row = change_of(record, read(record)).row
    assert isinstance(row, ReleaseRow)
    assert (row.tag, row.release) == ("v1.2_b", "v1.2+b")

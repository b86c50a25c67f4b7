import contextlib
import io
import tarfile
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.errors import InvalidArchive, TooLarge
from cnr.domain.tar_reader import EXTENSION_LIMIT, Member, TarReader

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def walk(*pieces: bytes, member_limit: int = 100) -> list[tuple[Member, bytes]]:
    reader = TarReader(pieces, member_limit=member_limit)
    return [(member, b"".join(reader.data())) for member in reader]


def names(*pieces: bytes) -> list[str]:
    return [member.name for member, _ in walk(*pieces)]


part = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=60)
files = st.dictionaries(st.lists(part, min_size=1, max_size=6).map("/".join), st.binary(max_size=1200), max_size=5)


@given(files, st.sampled_from(FORMATS[1:]), st.integers(1, 3000))
def test_reads_what_python_writes(archives: Any, files: dict[str, bytes], format: int, size: int) -> None:
    tar = archives.standard(files, format)
    found = walk(*(tar[at : at + size] for at in range(0, len(tar), size)))
    assert {member.name: data for member, data in found} == files
    assert all(member.is_file and member.size == len(data) for member, data in found)


@pytest.mark.parametrize("format", FORMATS)
def test_reads_every_format(archives: Any, format: int) -> None:
    files = {"Chart.yaml": b"a: b", "f/" * 40 + "x" * 60: b"prefix", "empty": b""}
    assert {member.name: data for member, data in walk(archives.standard(files, format))} == files


def test_reads_links_devices_and_folders_as_such() -> None:
    out = io.BytesIO()
    kinds = [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind in kinds:
            info = tarfile.TarInfo(f"k{kind.decode()}")
            info.type, info.linkname = kind, "l" * 200
            tar.addfile(info)
    members = [member for member, _ in walk(out.getvalue())]
    assert [member.kind for member in members] == [kind.decode() for kind in kinds]
    assert not any(member.is_file for member in members)
    assert [member.is_directory for member in members] == [False] * 5 + [True]


@given(st.binary(max_size=2000))
def test_any_bytes_are_a_tar_or_refused(data: bytes) -> None:
    with contextlib.suppress(InvalidArchive, TooLarge):
        walk(data)


@given(files, st.sampled_from(FORMATS[1:]), st.data())
def test_a_damaged_tar_is_read_or_refused(archives: Any, files: dict[str, bytes], format: int, draw: Any) -> None:
    tar = bytearray(archives.standard(files, format))
    for _ in range(draw.draw(st.integers(1, 4))):
        tar[draw.draw(st.integers(0, min(len(tar), 4096) - 1))] = draw.draw(st.integers(0, 255))
    with contextlib.suppress(InvalidArchive, TooLarge):
        walk(bytes(tar))


HEADER_FIELDS = st.lists(st.tuples(st.integers(100, 511), st.binary(min_size=1, max_size=12)), max_size=6)


@given(HEADER_FIELDS, st.binary(max_size=1600))
def test_any_header_with_a_right_checksum_is_read_or_refused(
    archives: Any, fields: list[tuple[int, bytes]], rest: bytes
) -> None:
    block = bytearray(archives.header(b"name"))
    for at, value in fields:
        block[at : at + len(value)] = value
    del block[512:]
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    with contextlib.suppress(InvalidArchive, TooLarge):
        walk(bytes(block) + rest)


def test_accepts_the_oddities_that_old_servers_took(archives: Any) -> None:
    file = archives.member(b"a", b"data")
    assert names(file) == ["a"]
    assert names(file[:516]) == ["a"]
    assert names(file, bytes(512)) == ["a"]
    assert names(file, archives.END, b"junk") == ["a"]
    assert names(archives.END) == []
    assert names(bytes(512)) == []


@pytest.mark.parametrize(
    "tar",
    [b"a text", b"a text that is longer than a block\n" * 40, bytes(100), b"\x1f\x8b" + bytes(600)],
)
def test_refuses_what_is_no_tar(tar: bytes) -> None:
    with pytest.raises(InvalidArchive):
        walk(tar)


def test_refuses_a_tar_that_is_cut_off_or_broken_in_the_middle(archives: Any) -> None:
    file = archives.member(b"a", b"data")
    for tar in (file[:515], file + file[:100], file + b"junk" * 128, archives.pax(path="x")):
        with pytest.raises(InvalidArchive):
            walk(tar)


def test_notes_a_lone_zero_block(archives: Any) -> None:
    for behind, lone in ((bytes(512), False), (b"", False), (archives.member(b"b"), True), (b"x", True)):
        reader = TarReader([archives.member(b"a"), bytes(512), behind], member_limit=9)
        assert [member.name for member in reader] == ["a"]
        assert reader.lone_zero_block is lone


@pytest.mark.parametrize(
    "size",
    [
        b"\xff" * 12,
        b"\x80" + b"\xff" * 11,
        b"77777777777\0",
        b"-0000000001\0",
        b"0o000000001\0",
        b"12345678\0\0\0\0",
        b"1_000\0\0\0\0\0\0\0",
    ],
)
def test_a_size_that_cannot_be_is_refused(archives: Any, size: bytes) -> None:
    with pytest.raises(InvalidArchive):
        walk(archives.header(b"a", size) + b"data", archives.END)


@pytest.mark.parametrize("size", ["-1", "1e3", "", " 1", "9" * 19, "9" * 5000])
def test_a_pax_size_that_cannot_be_is_refused(archives: Any, size: str) -> None:
    with pytest.raises(InvalidArchive):
        walk(archives.pax(size=size) + archives.member(b"a", b"data"), archives.END)


def test_base_256_sizes_and_pax_overrides_count(archives: Any) -> None:
    large = archives.header(b"a", b"\x80" + (4).to_bytes(11)) + b"data" + bytes(508)
    assert walk(large)[0][1] == b"data"
    override = archives.pax(path="b/c", size="4") + archives.header(b"a", 0) + b"data" + bytes(508)
    assert [(member.name, data) for member, data in walk(override)] == [("b/c", b"data")]


@pytest.mark.parametrize(
    "record", [b"9 a=b\n", b"4 a=b\n", b"6 a=b", b"x", b"5 =b\n", b"6 ab\n\n", b"0 \n", b"99999999 a=\n"]
)
def test_a_broken_pax_header_is_refused(archives: Any, record: bytes) -> None:
    with pytest.raises(InvalidArchive):
        walk(archives.member(b"p", record, kind=b"x") + archives.member(b"a"))


def test_an_extension_header_is_bounded(archives: Any) -> None:
    for kind in (b"x", b"g", b"L", b"K"):
        for size in (EXTENSION_LIMIT + 1, 100 * EXTENSION_LIMIT):
            with pytest.raises(TooLarge) as caught:
                walk(archives.header(b"p", size, kind=kind), bytes(1024))
            assert caught.value.details["limit"] == EXTENSION_LIMIT
    at_the_limit = archives.member(b"p", b"n" * EXTENSION_LIMIT, kind=b"L")
    assert len(names(at_the_limit, archives.member(b"a"))[0]) == EXTENSION_LIMIT


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"5", b"6"])
def test_a_size_means_nothing_where_there_is_no_data(archives: Any, kind: bytes) -> None:
    assert names(archives.header(b"k", 4096, kind=kind), archives.member(b"a"), archives.END) == ["k", "a"]


def test_a_prefix_counts_in_ustar_headers_only(archives: Any) -> None:
    assert names(archives.header(b"a", prefix=b"p/q")) == ["p/q/a"]
    assert names(archives.header(b"a", prefix=b"junk", magic=b"ustar  \0")) == ["a"]


def test_a_negative_size_is_named(archives: Any) -> None:
    with pytest.raises(InvalidArchive, match="negative"):
        walk(archives.header(b"a", b"\xff" * 12))


def test_extension_headers_together_are_bounded(archives: Any) -> None:
    long_name = archives.member(b"././@LongLink", b"n" * 500_000, kind=b"L") + archives.member(b"a")
    with pytest.raises(TooLarge):
        walk(*[long_name] * 10)


def test_a_chain_of_extension_headers_is_refused(archives: Any) -> None:
    with pytest.raises(InvalidArchive, match="chain"):
        walk(*[archives.member(b"p", b"n", kind=b"L")] * 5000, archives.member(b"a"))


def test_members_are_counted(archives: Any) -> None:
    assert len(walk(*[archives.member(b"a")] * 100, archives.END)) == 100
    with pytest.raises(TooLarge) as caught:
        walk(*[archives.member(b"a")] * 101)
    assert caught.value.details["limit"] == 100


def test_a_sparse_member_is_walked_and_is_no_file(archives: Any) -> None:
    header = bytearray(archives.header(b"s", 4, kind=b"S"))
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more, last = bytes(504) + b"\1" + bytes(7), bytes(512)
    found = walk(bytes(header), more, last, b"data" + bytes(508), archives.member(b"a", b"x"))
    assert [(member.name, member.is_file, data) for member, data in found] == [("s", False, b"data"), ("a", True, b"x")]
    pax = archives.pax(GNU__sparse__major="1", GNU__sparse__name="other") + archives.member(b"p", b"x")
    assert [member.is_file for member, _ in walk(pax)] == [False]
    with pytest.raises(InvalidArchive):
        walk(bytes(header), more * 3)


def test_huge_members_and_endless_maps_cost_no_memory(archives: Any) -> None:
    def zeros() -> Iterator[bytes]:
        yield archives.header(b"big", 50 * 1024 * 1024)
        for _ in range(50):
            yield bytes(1024 * 1024)
        yield archives.END

    tracemalloc.start()
    try:
        assert [member.size for member in TarReader(zeros(), member_limit=1)] == [50 * 1024 * 1024]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024


def test_names_that_are_no_utf8_keep_their_bytes(archives: Any) -> None:
    assert names(archives.member(b"caf\xe9"))[0].encode("utf-8", "surrogateescape") == b"caf\xe9"


def test_an_old_archive_says_folder_by_a_slash(archives: Any) -> None:
    assert walk(archives.header(b"d/", kind=b"\0"))[0][0].is_directory
    assert walk(archives.member(b"f", b"x", kind=b"\0"))[0][0].is_file

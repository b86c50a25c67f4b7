import base64
import gzip
import hashlib
import os
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import PackageContents, inspect
from cnr.domain.errors import InvalidArchive, TooLarge
from cnr.domain.limits import Limits
from cnr.domain.names import Format

HELM, KPM = Format("helm"), Format("kpm")
MIB = 1024 * 1024


def look(*chunks: bytes, limits: Limits | None = None, format: Format = KPM) -> PackageContents:
    return inspect(chunks, limits or Limits(), format)


def test_all_of_the_corpus_has_its_digests_and_size(corpus: Any) -> None:
    assert len(corpus.index) == 219
    for entry in corpus.index:
        found = look(corpus.read(entry["file"]), format=Format(entry["format"]))
        expected = (entry["cnr_digest"], entry["oci_digest"], entry["size"])
        assert (found.tar_digest, found.digest, found.size) == expected, entry["file"]


def test_the_chart_of_the_seed(seed_readme: str) -> None:
    packed = base64.b64decode(next(line for line in seed_readme.splitlines() if line.startswith("H4sIAGBo")))
    found = look(packed, format=HELM)
    assert found.tar_digest == "72ed15c9a65961ecd034cca098ec18eb99002cd402824aae8a674a8ae41bd0ef"
    assert (found.size, found.shape.root) == (583, "")


def test_the_backup_and_the_old_examples(corpus: Any) -> None:
    for name in (
        "7da12a2f437eb6a327e0fc922c3d50c4a8259b8054ac358711d0de8a4fc178c0",
        "92ba810abfe250d43cea35bad65906a7",
    ):
        (path,) = (corpus.folder / "test-sh").glob(f"{name}*.tgz")
        assert look(path.read_bytes()).tar_digest == path.stem


@given(st.binary(max_size=3000), st.integers(1, 999))
def test_digests_and_sizes_do_not_depend_on_the_cutting(archives: Any, data: bytes, size: int) -> None:
    tar = archives.member(b"a/b", data) + archives.END
    packed = gzip.compress(tar, mtime=0)
    found = look(*(packed[at : at + size] for at in range(0, len(packed), size)))
    assert found.tar_digest == hashlib.sha256(tar).hexdigest()
    assert found.digest == "sha256:" + hashlib.sha256(packed).hexdigest()
    assert (found.size, found.unpacked_size, found.members) == (len(packed), len(tar), 1)


def test_oddities_are_accepted_and_hashed_whole(archives: Any) -> None:
    file = archives.member(b"a", b"x")
    for tar in (file, file + archives.END + b"junk" * 5000, archives.END, bytes(10240)):
        assert look(gzip.compress(tar)).tar_digest == hashlib.sha256(tar).hexdigest()
    two = gzip.compress(file) + gzip.compress(archives.END) + bytes(100)
    assert look(two).tar_digest == hashlib.sha256(file + archives.END).hexdigest()
    assert look(two).size == len(two)


@pytest.mark.parametrize(
    "blob",
    [b"", b"text", gzip.compress(b"", mtime=0), gzip.compress(b"text", mtime=0), gzip.compress(b"x" * 9999, mtime=0)],
)
def test_what_is_no_gzipped_tar_is_refused(blob: bytes) -> None:
    with pytest.raises(InvalidArchive):
        look(blob)


def test_a_plain_tar_a_nested_gzip_and_trailing_junk_are_refused(archives: Any) -> None:
    tar = archives.member(b"a") + archives.END
    for blob in (tar, gzip.compress(gzip.compress(tar)), gzip.compress(tar) + b"junk", gzip.compress(tar)[:-1]):
        with pytest.raises(InvalidArchive):
            look(blob)


def test_damage_behind_the_last_member_is_found(archives: Any) -> None:
    packed = bytearray(gzip.compress(archives.member(b"a") + archives.END + b"junk" * 99999))
    packed[-6] ^= 1
    with pytest.raises(InvalidArchive):
        look(bytes(packed))


def test_each_limit_is_exact_and_named(archives: Any) -> None:
    tar = archives.member(b"a", b"x" * 1000) + archives.member(b"b") + archives.END
    packed = gzip.compress(tar)
    exact = Limits(compressed_bytes=len(packed), unpacked_bytes=len(tar), members=2)
    assert look(packed, limits=exact).members == 2
    for below, limit in (
        (Limits(compressed_bytes=len(packed) - 1), len(packed) - 1),
        (Limits(unpacked_bytes=len(tar) - 1), len(tar) - 1),
        (Limits(members=1), 1),
    ):
        with pytest.raises(TooLarge) as caught:
            look(packed, limits=below)
        assert caught.value.details["limit"] == limit


def test_the_ratio_counts_above_a_mebibyte(archives: Any) -> None:
    assert look(gzip.compress(archives.END + bytes(MIB - 1024))).unpacked_size == MIB
    with pytest.raises(TooLarge, match="200 to 1"):
        look(gzip.compress(archives.END + bytes(MIB - 1023)))


def test_a_file_of_a_chart_has_a_limit_of_its_own(archives: Any) -> None:
    limits = Limits(chart_file_bytes=10)
    packed = archives.gz(archives.member(b"a/x", b"12345678901"), archives.END)
    assert look(packed, limits=limits, format=KPM).members == 1
    assert look(archives.targz({"a/x": b"1234567890"}), limits=limits, format=HELM).members == 1
    with pytest.raises(TooLarge, match="file of a helm chart"):
        look(packed, limits=limits, format=HELM)


def hostile(archives: Any) -> Iterator[tuple[str, bytes]]:
    """Archives that no one means well with; none may harm, and as opaque packages most are stored."""
    yield "parent", archives.targz({"../../etc/passwd": b"x", "a/../../b": b"y"})
    yield "absolute", archives.targz({"/etc/passwd": b"x", "\\\\host\\share": b"y", "C:/x": b"z"})
    yield "symlink", archives.gz(archives.header(b"a/Chart.yaml", kind=b"2", link=b"/etc/passwd"), archives.END)
    yield "hard link", archives.gz(archives.header(b"a/Chart.yaml", kind=b"1", link=b"a/other"), archives.END)
    yield "device", archives.gz(archives.header(b"dev/null", kind=b"3"), archives.END)
    yield "fifo", archives.gz(archives.header(b"pipe", kind=b"6"), archives.END)
    yield "pax name", archives.gz(archives.pax(path="../x\0y"), archives.member(b"a"), archives.END)
    yield "unknown type", archives.gz(archives.member(b"a", b"x", kind=b"Z"), archives.END)
    yield "no name", archives.gz(archives.member(b"", b"x"), archives.END)
    yield "surrogates", archives.gz(archives.member(b"\xff\xfe", b"x"), archives.END)
    yield "huge size", archives.gz(archives.header(b"a", b"\x80" + b"\0" * 3 + b"\xff" * 8), archives.END)
    yield (
        "pax bomb",
        archives.gz(archives.member(b"p", (b"99 a=" + b"b" * 93 + b"\n") * 9_000, kind=b"x") * 9, archives.END),
    )
    yield "long name bomb", archives.gz(archives.member(b"p", b"n" * MIB, kind=b"L") * 9, archives.END)
    yield "long names", archives.gz(*[archives.member(b"p", b"n" * 900, kind=b"L") + archives.member(b"a")] * 400)
    yield "a million members", archives.gz(*[archives.member(b"a", b"x")] * 15_000)
    yield "zeros", gzip.compress(bytes(101 * MIB), 1)
    yield "a file of zeros", gzip.compress(archives.header(b"README", 99 * MIB) + bytes(99 * MIB), 1)
    yield "nested", gzip.compress(gzip.compress(bytes(9 * MIB), 9), 9)
    yield "random", os.urandom(100_000)
    describing = [archives.member(name, b"#" * MIB) for name in (b"manifest.yaml", b"t/manifest.yaml")]
    yield "large describing files", archives.gz(*describing, archives.member(b"f", os.urandom(MIB)), archives.END)


def test_nothing_hostile_harms(archives: Any) -> None:
    accepted = set()
    for name, blob in hostile(archives):
        for format in (HELM, KPM):
            tracemalloc.start()
            try:
                look(blob, format=format)
                accepted.add(name)
            except (InvalidArchive, TooLarge):
                pass
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert peak < 8 * MIB, (name, peak)
    assert accepted == {
        "parent",
        "absolute",
        "symlink",
        "hard link",
        "device",
        "fifo",
        "pax name",
        "unknown type",
        "no name",
        "surrogates",
        "long names",
        "large describing files",
    }


def test_what_the_source_raises_comes_through() -> None:
    def broken() -> Iterator[bytes]:
        yield b"\x1f\x8b"
        raise OSError("the spool is gone")

    with pytest.raises(OSError, match="spool"):
        inspect(broken(), Limits(), KPM)

import errno
import gzip
import io
import os
import tarfile
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import IO, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnr.domain.archive import inspect
from cnr.domain.chart import helm_visible
from cnr.domain.errors import InvalidArchive, TooLarge
from cnr.domain.helm_shape import SpooledArchive, helm_shaped
from cnr.domain.limits import Limits
from cnr.domain.names import Format

CHART = b"name: app\nversion: 1.0.0\n"
HELM = Format("helm")
MIB = 1024 * 1024


Reshape = Callable[[bytes], SpooledArchive]


@pytest.fixture(scope="module")
def reshape() -> Iterator[Reshape]:
    """Reshapes an archive; what it opens is closed at the end."""
    with ExitStack() as made:

        def function(packed: bytes) -> SpooledArchive:
            shape = inspect([packed], Limits(), HELM).shape
            shaped = helm_shaped([packed], shape, "app", limits=Limits(), open_spool=tempfile.TemporaryFile)
            return made.enter_context(closing(shaped))

        yield function


def files_of(archive: SpooledArchive) -> list[tuple[str, bytes]]:
    packed = b"".join(archive.chunks())
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as tar:
        return [(member.name, file.read()) for member in tar if (file := tar.extractfile(member))]


names = st.sampled_from(["values.yaml", "templates/a.yaml", ".helmignore", "charts/b/Chart.yaml", "README.md", "Ä"])


@given(st.dictionaries(names, st.binary(max_size=700)), st.sampled_from(["", "./"]), st.randoms())
def test_puts_all_files_under_one_folder_whatever_their_order(
    archives: Any, reshape: Reshape, files: dict[str, bytes], prefix: str, random: Any
) -> None:
    pairs = [*files.items(), ("Chart.yaml", CHART)]
    random.shuffle(pairs)
    shaped = reshape(archives.targz([(prefix + name, data) for name, data in pairs]))
    expected = [("app/Chart.yaml", CHART)] + [(f"app/{name}", files[name]) for name in sorted(files)]
    assert files_of(shaped) == expected
    contents = inspect(shaped.chunks(), Limits(), HELM)
    assert (contents.shape.root, contents.shape.loadable) == ("app", True)
    assert (contents.digest, contents.size, contents.tar_digest) == (
        shaped.layer.digest,
        shaped.size,
        shaped.layer.tar_digest,
    )
    assert helm_visible(contents, "app", "1.0.0") is not None


def test_the_same_files_give_the_same_bytes(archives: Any, reshape: Reshape) -> None:
    one = archives.targz({"Chart.yaml": CHART, "b": b"1", "a": b"2"})
    two = archives.gz(archives.member(b"a", b"2", mode=b"0000755\0"), archives.member(b"./b", b"1"))
    two = archives.gz(gzip.decompress(two), archives.member(b"Chart.yaml", CHART), archives.END)
    assert b"".join(reshape(one).chunks()) == b"".join(reshape(two).chunks())


def test_a_folder_behind_a_dot_becomes_the_top_one(archives: Any, reshape: Reshape) -> None:
    shaped = reshape(archives.targz({"./other/Chart.yaml": CHART, "./other/x/y": b"z"}))
    assert files_of(shaped) == [("app/Chart.yaml", CHART), ("app/x/y", b"z")]


def test_links_devices_and_folders_are_left_out(archives: Any, reshape: Reshape) -> None:
    others = [archives.header(b"k" + kind, kind=kind, link=b"/etc/passwd") for kind in (b"1", b"2", b"3", b"5", b"6")]
    shaped = reshape(archives.gz(*others, archives.member(b"Chart.yaml", CHART), archives.END))
    assert files_of(shaped) == [("app/Chart.yaml", CHART)]


def test_of_two_files_of_one_name_the_later_counts(archives: Any, reshape: Reshape) -> None:
    parts = [archives.member(b"Chart.yaml", CHART), archives.member(b"a", b"1"), archives.member(b"./a", b"2")]
    assert files_of(reshape(archives.gz(*parts)))[1:] == [("app/a", b"2")]


def test_what_helm_would_not_load_is_not_reshaped(archives: Any, reshape: Reshape) -> None:
    with pytest.raises(ValueError, match=r"'\.\.'"):
        reshape(archives.targz({"Chart.yaml": CHART, "../x": b""}))


def test_limits_and_damage_are_errors_and_no_file_is_left_open(archives: Any) -> None:
    opened: list[IO[bytes]] = []

    def open_spool() -> IO[bytes]:
        opened.append(tempfile.TemporaryFile())  # noqa: SIM115 - closing it is what is tested
        return opened[-1]

    packed = archives.targz({"Chart.yaml": CHART, "a": os.urandom(5000)})
    shape = inspect([packed], Limits(), HELM).shape
    for chunks, limits, error in (
        ([packed], Limits(unpacked_bytes=6000), TooLarge),
        ([packed], Limits(members=1), TooLarge),
        ([packed[:-9]], Limits(), InvalidArchive),
    ):
        with pytest.raises(error):
            helm_shaped(chunks, shape, "app", limits=limits, open_spool=open_spool)
    assert all(file.closed for file in opened)
    shaped = helm_shaped([packed], shape, "app", limits=Limits(), open_spool=open_spool)
    assert [file.closed for file in opened[-2:]] == [True, False]
    shaped.close()
    assert opened[-1].closed


def test_a_full_disk_is_the_error_and_no_file_is_left_open(archives: Any) -> None:
    class FullDisk(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "no space left on device")

    packed = archives.targz({"Chart.yaml": CHART})
    shape = inspect([packed], Limits(), HELM).shape
    for spools in ([FullDisk()], [io.BytesIO(), FullDisk()]):
        open_spool = iter(spools).__next__
        with pytest.raises(OSError, match="no space"):
            helm_shaped([packed], shape, "app", limits=Limits(), open_spool=open_spool)
        assert all(file.closed for file in spools)


def test_memory_is_bounded(archives: Any, reshape: Reshape) -> None:
    packed = archives.targz([("Chart.yaml", CHART)] + [(f"f{n}", os.urandom(2 * MIB)) for n in range(8)])
    tracemalloc.start()
    try:
        shaped = reshape(packed)
        size = sum(len(chunk) for chunk in shaped.chunks())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == shaped.size > 16 * MIB
    assert peak < 4 * MIB


def test_the_result_can_be_read_twice_and_side_by_side(archives: Any, reshape: Reshape) -> None:
    shaped = reshape(archives.targz({"Chart.yaml": CHART, "a": os.urandom(MIB)}))
    one: Iterator[bytes] = shaped.chunks()
    two = shaped.chunks()
    mixed = [(a, b) for a, b in zip(one, two, strict=True)]
    assert len(mixed) > 1
    assert all(a == b for a, b in mixed)

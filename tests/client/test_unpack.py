"""Archives from strangers: digests, listings, and extraction that stays in its folder."""

import gzip
import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cnr.client.errors import UnsafeArchive
from cnr.client.unpack import ArchiveFile, UnpackLimits, extract, list_archive, read_archived, tar_digest

Member = tuple[tarfile.TarInfo, bytes]


def file(name: str, content: bytes = b"x", mode: int = 0o644) -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    return info, content


def special(name: str, kind: bytes, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info, b""


def symlink(name: str, target: str) -> Member:
    return special(name, tarfile.SYMTYPE, target)


def hardlink(name: str, target: str) -> Member:
    return special(name, tarfile.LNKTYPE, target)


def tar_bytes(*members: Member) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., Path]:
    def make(*members: Member) -> Path:
        path = tmp_path / "archive"
        path.write_bytes(gzip.compress(tar_bytes(*members)))
        return path

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "outer" / "folder"
    path.mkdir(parents=True)
    return path


def tree(folder: Path) -> dict[str, str]:
    """Paths below `folder`: files by content, links by `-> target`, directories as `/`."""
    found = {}
    for path in sorted(folder.rglob("*")):
        kind = f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        found[str(path.relative_to(folder))] = kind
    return found


def test_files_directories_and_modes(archive: Callable[..., Path], folder: Path) -> None:
    made = archive(
        special("dir", tarfile.DIRTYPE),
        file("./dir/a", b"1"),
        file("run", b"2", 0o4777),
        file("b//c", b"3", 0o000),
    )
    assert extract(made, folder) == 3
    assert tree(folder) == {"b": "/", "b/c": "3", "dir": "/", "dir/a": "1", "run": "2"}
    umask = os.umask(0)
    os.umask(umask)
    assert (folder / "run").stat().st_mode & 0o7777 == 0o755 & ~umask
    assert (folder / "b" / "c").stat().st_mode & 0o7777 == 0o644 & ~umask


def test_the_last_of_two_members_wins(archive: Callable[..., Path], folder: Path) -> None:
    made = archive(file("a", b"old"), file("./a", b"new"))
    extract(made, folder)
    assert tree(folder) == {"a": "new"}
    assert read_archived(made, "a") == b"new"


def test_links_that_stay_inside(archive: Callable[..., Path], folder: Path) -> None:
    made = archive(
        symlink("link", "dir/file"),
        file("dir/file", b"1"),
        symlink("dir/up", "../other"),
        file("other", b"2"),
        symlink("dangling", "nothing"),
        symlink("through", "dirlink/file"),
        symlink("dirlink", "./dir"),
        hardlink("copy", "dir/file"),
    )
    extract(made, folder)
    assert (folder / "through").read_text() == "1"
    assert (folder / "dir" / "up").read_text() == "2"
    assert (folder / "copy").stat().st_nlink == 1
    assert tree(folder)["dangling"] == "-> nothing"


@pytest.mark.parametrize(
    "members",
    [
        [file("/abs")],
        [file("../up")],
        [file("a/../../up")],
        [file("a/../b")],
        [file("..")],
        [file(".")],
        [file("x" * 5000)],
        [symlink("l", "/etc/passwd")],
        [symlink("l", "..")],
        [symlink("l", "../outer-file")],
        [symlink("d/l", "../../x")],
        [symlink("l", "a/../../x")],
        [symlink("self", "."), symlink("l", "self/../x")],
        [symlink("d", "/tmp"), file("d/x")],
        [symlink("d", "e"), file("e/y"), file("d/x")],
        [symlink("d", "."), special("d", tarfile.DIRTYPE)],
        [symlink("d", "e"), file("e/y"), symlink("d/x", "y")],
        [file("d"), symlink("d", "e")],
        [symlink("l", "loop"), symlink("loop", "l"), hardlink("h", "l")],
        [hardlink("h", "/etc/passwd")],
        [hardlink("h", "../secret")],
        [hardlink("h", "missing")],
        [symlink("s", "real"), file("real"), hardlink("h", "s")],
        [hardlink("h", ".")],
        [special("dev", tarfile.CHRTYPE)],
        [special("dev", tarfile.BLKTYPE)],
        [special("pipe", tarfile.FIFOTYPE)],
        [file("a"), file("a/b")],
        [file("a/b"), file("a")],
        [file("a"), special("a", tarfile.DIRTYPE)],
    ],
    ids=lambda members: " ".join(f"{info.type.decode()}:{info.name[:20]}:{info.linkname}" for info, _ in members),
)
def test_hostile_members_are_refused(archive: Callable[..., Path], folder: Path, members: list[Member]) -> None:
    (folder.parent / "secret").write_text("secret")
    with pytest.raises(UnsafeArchive) as caught:
        extract(archive(file("first"), *members), folder)
    assert str(caught.value)
    assert tree(folder.parent).keys() - {"folder", "secret"} <= {f"folder/{name}" for name in tree(folder)}


def test_a_link_that_a_later_file_replaces_is_no_way_out(archive: Callable[..., Path], folder: Path) -> None:
    extract(archive(symlink("a", "b"), file("a", b"file")), folder)
    assert tree(folder) == {"a": "file"}


NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/b/c", "c", "./c", "..", "../a", "a/../b", "/a"])
TARGETS = st.sampled_from([".", "..", "a", "b/c", "../a", "../../a", "a/..", "a/../..", "/a", "c"])
MEMBERS = st.one_of(
    NAMES.map(file),
    NAMES.map(lambda name: special(name, tarfile.DIRTYPE)),
    st.builds(symlink, NAMES, TARGETS),
    st.builds(hardlink, NAMES, TARGETS | NAMES),
)


@settings(max_examples=400, deadline=None)
@given(st.lists(MEMBERS, max_size=6))
@example([symlink("a", "b/c"), symlink("b", "."), file("a/b")])
@example([symlink("b/c", "../b/c/d")])
def test_no_archive_reaches_out_of_its_folder(members: list[Member]) -> None:
    with TemporaryDirectory() as outside:
        folder = Path(outside) / "x" / "y" / "folder"
        folder.mkdir(parents=True)
        archive = Path(outside) / "archive"
        archive.write_bytes(gzip.compress(tar_bytes(*members)))
        try:
            extract(archive, folder)
        except UnsafeArchive:
            pass
        else:
            assert all(Path(os.path.realpath(path)).is_relative_to(folder) for path in folder.rglob("*"))
        assert sorted(path.name for path in Path(outside).iterdir()) == ["archive", "x"]
        assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_listing_and_reading(archive: Callable[..., Path]) -> None:
    made = archive(file("./b", b"12"), symlink("l", "/etc"), special("d/", tarfile.DIRTYPE), file("a", b""))
    assert list_archive(made) == [
        ArchiveFile("a", "file", 0),
        ArchiveFile("b", "file", 2),
        ArchiveFile("d", "directory", 0),
        ArchiveFile("l", "link", 0, "/etc"),
    ]
    assert read_archived(made, "b") == b"12"
    assert read_archived(made, "l") is None
    assert read_archived(made, "missing") is None


def test_the_digest_is_of_the_tar(tmp_path: Path) -> None:
    tar = tar_bytes(file("a", b"content"))
    for number, level in enumerate((1, 9)):
        path = tmp_path / str(number)
        path.write_bytes(gzip.compress(tar, level) + gzip.compress(b"") + bytes(9))
        assert tar_digest(path) == hashlib.sha256(tar).hexdigest()


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"x")[:-3], gzip.compress(b"x") + b"junk"],
    ids=["nothing", "text", "cut off", "junk behind"],
)
def test_what_is_no_gzip_has_no_digest(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(UnsafeArchive):
        tar_digest(tmp_path / "archive")


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"text" * 200), gzip.compress(tar_bytes(file("a", b"x" * 5000))[:1024]), b"text"],
    ids=["text in gzip", "cut off", "text"],
)
def test_what_is_no_tar_is_not_extracted(tmp_path: Path, folder: Path, content: bytes) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(UnsafeArchive):
        extract(tmp_path / "archive", folder)


def test_limits(archive: Callable[..., Path], folder: Path) -> None:
    made = archive(file("a", b"x" * 2000), file("b", b"x" * 2000))
    with pytest.raises(UnsafeArchive, match="members"):
        extract(made, folder, UnpackLimits(members=1))
    with pytest.raises(UnsafeArchive, match="3,000 bytes"):
        extract(made, folder, UnpackLimits(unpacked_bytes=3000))
    with pytest.raises(UnsafeArchive, match="unpacks to more"):
        tar_digest(made, UnpackLimits(unpacked_bytes=3000))


def test_a_sparse_file_counts_with_its_full_size(tmp_path: Path, folder: Path) -> None:
    info = tarfile.TarInfo("sparse")
    info.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.size": str(10**15), "GNU.sparse.map": "0,0"}
    (tmp_path / "archive").write_bytes(gzip.compress(tar_bytes((info, b""))))
    with pytest.raises(UnsafeArchive):
        extract(tmp_path / "archive", folder)
    assert tree(folder) == {}


def test_a_header_that_would_fill_the_memory_is_refused(archive: Callable[..., Path], folder: Path) -> None:
    info, content = file("a")
    info.pax_headers = {"comment": "x" * (5 * 1024 * 1024)}
    with pytest.raises(UnsafeArchive, match="header of more than"):
        extract(archive((info, content)), folder)


def test_a_chain_of_headers_is_no_way_into_the_recursion_limit(tmp_path: Path, folder: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2
    (tmp_path / "archive").write_bytes(
        gzip.compress((info.tobuf(tarfile.GNU_FORMAT) + b"a\0".ljust(512, b"\0")) * 5000)
    )
    with pytest.raises(UnsafeArchive):
        extract(tmp_path / "archive", folder)

"""Packing a directory: the same bytes for the same tree, ignore files, links, and what cannot be packed."""

import io
import os
import random
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cnr.client.archive_identity import identify_archive
from cnr.client.errors import InvalidPackage
from cnr.client.identity import Identity
from cnr.client.pack import identify_directory, pack

GENERIC = Identity("docker-compose")
CHART = b"apiVersion: v2\nname: app\nversion: 1.10.0\n"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def packed(folder: Path, identity: Identity = GENERIC) -> bytes:
    out = io.BytesIO()
    pack(folder, out, identity)
    return out.getvalue()


def members(archive: bytes) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getmembers()


def names(archive: bytes) -> list[str]:
    return [member.name for member in members(archive)]


NAME = st.text("abcXYZ.-_ é", min_size=1, max_size=6).filter(lambda name: name.strip(".") and name not in (".git",))
TREE = st.dictionaries(
    st.lists(NAME, min_size=1, max_size=3).map("/".join), st.binary(max_size=50), min_size=1, max_size=6
).filter(lambda tree: not any(a != b and b.startswith(a + "/") for a in tree for b in tree))


@settings(max_examples=60, deadline=None)
@given(TREE, st.randoms(use_true_random=False))
def test_the_same_tree_gives_the_same_bytes(tree: dict[str, bytes], chance: random.Random) -> None:
    order = list(tree.items())
    with TemporaryDirectory() as one, TemporaryDirectory() as two:
        write(Path(one), dict(order))
        chance.shuffle(order)
        write(Path(two), dict(order))
        for path in Path(two).rglob("*"):
            os.utime(path, (chance.randrange(10**9), chance.randrange(10**9)))
            path.chmod(0o700 if path.is_dir() else 0o600)
        first, second = packed(Path(one)), packed(Path(two))
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        content = {}
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            content[member.name] = file.read()
    assert content == tree


def test_members_are_sorted_and_have_nothing_of_this_machine(tmp_path: Path) -> None:
    archive = packed(write(tmp_path, {"b": b"", "a/z": b"", "a.b": b"", "Z": b""}))
    assert names(archive) == ["Z", "a.b", "a/z", "b"]
    for member in members(archive):
        assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
        assert member.mode == 0o644
    assert archive[3:8] == bytes(5)


def test_an_executable_stays_one_except_in_a_chart(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART, "run.sh": b""})
    (tmp_path / "run.sh").chmod(0o755)
    assert {member.name: member.mode for member in members(packed(tmp_path))}["run.sh"] == 0o755
    chart = packed(tmp_path, identify_directory(tmp_path))
    assert {member.mode for member in members(chart)} == {0o644}


def test_a_chart_stands_under_its_own_name(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART, "templates/a.yaml": b"", "templates/.swp": b""})
    assert names(packed(tmp_path, identify_directory(tmp_path))) == ["app/Chart.yaml", "app/templates/a.yaml"]


@pytest.mark.parametrize("name", ["..", ".", "a/b", "a\\b", "'\"\\e\"'"])
def test_a_chart_name_that_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"Chart.yaml": f"name: {name}\nversion: 1.0.0\n".replace("'", "").encode()})
    with pytest.raises(InvalidPackage, match="cannot be the name of a folder"):
        packed(tmp_path, identify_directory(tmp_path))


def test_a_chart_without_a_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": b"version: 1.0.0\n"})
    with pytest.raises(InvalidPackage, match="needs a name"):
        packed(tmp_path, identify_directory(tmp_path))


@pytest.mark.parametrize("ignore_file", [".helmignore", ".apprignore", ".kpmignore"])
def test_ignore_files_are_honoured(tmp_path: Path, ignore_file: str) -> None:
    tree = {"a.txt": b"", "sub/b.txt": b"", "deep/c/d": b"", "keep": b"", ignore_file: b"*.txt\ndeep/\n" + b"# keep\n"}
    assert names(packed(write(tmp_path, tree))) == [ignore_file, "keep"]


def test_all_ignore_files_count(tmp_path: Path) -> None:
    tree = {".helmignore": b".*ignore\na", ".kpmignore": b"b", "a": b"", "b": b"", "c": b""}
    assert names(packed(write(tmp_path, tree))) == ["c"]


def test_version_control_is_left_out(tmp_path: Path) -> None:
    tree = {".git/config": b"password", "sub/.git": b"gitdir: ..", ".hg/x": b"", ".svn/x": b"", ".gitignore": b""}
    assert names(packed(write(tmp_path, tree))) == [".gitignore"]


def test_an_ignored_manifest_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART, ".helmignore": b"*.yaml"})
    with pytest.raises(InvalidPackage, match=r"Chart\.yaml is left out"):
        packed(tmp_path, identify_directory(tmp_path))


def test_links_inside_are_packed_as_what_they_lead_to(tmp_path: Path) -> None:
    write(tmp_path, {"real/file": b"content", "other": b""})
    (tmp_path / "link").symlink_to("real/file")
    (tmp_path / "folder").symlink_to("real")
    (tmp_path / "real" / "up").symlink_to("../other")
    archive = packed(tmp_path)
    assert names(archive) == ["folder/file", "folder/up", "link", "other", "real/file", "real/up"]
    assert all(member.isreg() for member in members(archive))
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        file = tar.extractfile("link")
        assert file is not None
        assert file.read() == b"content"


@pytest.mark.parametrize("target", ["../secret", "/etc/passwd", "..", "/", "sub/../../secret"])
def test_links_out_of_the_directory_are_refused(tmp_path: Path, target: str) -> None:
    write(tmp_path, {"secret": b"key", "package/sub/file": b""})
    (tmp_path / "package" / "leak").symlink_to(target)
    with pytest.raises(InvalidPackage, match="'leak' is a link out of the directory"):
        packed(tmp_path / "package")


def test_a_link_through_a_sibling_with_the_same_beginning_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"package-secret/key": b"key", "package/file": b""})
    (tmp_path / "package" / "leak").symlink_to("../package-secret/key")
    with pytest.raises(InvalidPackage, match="out of the directory"):
        packed(tmp_path / "package")


def test_the_manifest_may_not_be_a_link_out(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART, "package/file": b""})
    (tmp_path / "package" / "Chart.yaml").symlink_to("../Chart.yaml")
    with pytest.raises(InvalidPackage, match=r"Chart\.yaml' is a link out"):
        identify_directory(tmp_path / "package")


@pytest.mark.parametrize(
    ("target", "sentence"), [("nowhere", "leads nowhere"), ("loop", "itself|Too many"), (".", "into itself")]
)
def test_links_that_lead_nowhere_are_refused(tmp_path: Path, target: str, sentence: str) -> None:
    write(tmp_path, {"file": b""})
    (tmp_path / "loop").symlink_to(target)
    with pytest.raises(InvalidPackage, match=sentence):
        packed(tmp_path)


def test_an_ignored_link_may_lead_anywhere(tmp_path: Path) -> None:
    write(tmp_path, {"file": b"", ".helmignore": b".helmignore\nleak\n"})
    (tmp_path / "leak").symlink_to("/etc/passwd")
    assert names(packed(tmp_path)) == ["file"]


def test_a_fifo_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidPackage, match="pipe is neither a file nor a directory"):
        packed(tmp_path)


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")).write_bytes(b"")
    with pytest.raises(InvalidPackage, match="not UTF-8"):
        packed(tmp_path)


def test_an_empty_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidPackage, match="no files"):
        packed(tmp_path)


@pytest.mark.parametrize(
    ("files", "identity"),
    [
        ({"Chart.yaml": CHART}, Identity("helm", "Chart.yaml", None, "app", "1.10.0")),
        ({"Chart.yaml": b"name: app\nversion: 1.10\n"}, Identity("helm", "Chart.yaml", None, "app", "1.10")),
        (
            {"manifest.yaml": b"---\npackage:\n  name: ns/app\n  version: 1.0.0\n"},
            Identity("kpm", "manifest.yaml", "ns", "app", "1.0.0"),
        ),
        ({"manifest.yaml": b"package: {name: app}"}, Identity("kpm", "manifest.yaml", None, "app", None)),
        ({"manifest.jsonnet": b"{}"}, Identity("kpm", "manifest.jsonnet")),
        ({"compose.yaml": b"name: app\nservices: {}"}, Identity("docker-compose", "compose.yaml", None, "app")),
        ({"docker-compose.yml": b"services: {}"}, Identity("docker-compose", "docker-compose.yml")),
        ({"Chart.yaml": CHART, "compose.yaml": b""}, Identity("helm", "Chart.yaml", None, "app", "1.10.0")),
        ({"other": b""}, Identity()),
    ],
)
def test_identity_of_a_directory_and_of_its_archive(
    tmp_path: Path, files: dict[str, bytes], identity: Identity
) -> None:
    source = write(tmp_path / "source", files)
    assert identify_directory(source) == identity
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(packed(source, identity))
    assert identify_archive(archive) == identity


def test_a_given_format_chooses_what_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"Chart.yaml": CHART, "manifest.yaml": b"package: {name: n/k, version: 2.0.0}"})
    assert identify_directory(tmp_path, "kpm-compose") == Identity("kpm-compose", "manifest.yaml", "n", "k", "2.0.0")
    assert identify_directory(tmp_path, "kubernetes") == Identity("kubernetes")


@pytest.mark.parametrize("content", [b"name: [", b"\xff", b"name: a\nname: b\n", b"!!python/object:os.system {}"])
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidPackage, match=r"Chart\.yaml"):
        identify_directory(write(tmp_path, {"Chart.yaml": content}))


def test_a_huge_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match="larger than"):
        identify_directory(write(tmp_path, {"Chart.yaml": b"#" * (1024 * 1024 + 1)}))


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08\x00"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "archive.tgz").write_bytes(content)
    with pytest.raises(InvalidPackage, match="cannot be pushed"):
        identify_archive(tmp_path / "archive.tgz")

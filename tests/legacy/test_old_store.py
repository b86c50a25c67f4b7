"""Store folders of old servers: found in either layout, read package by package, never trusted."""

import json
import os
from pathlib import Path

import pytest
from tests.legacy.old_server import OldServer, archive, save, tar_digest

from cnr.legacy.old_package import BadManifest, OldManifest, OldPackage, OldStoreError
from cnr.legacy.old_store import OldStore


def only(folder: Path) -> OldPackage:
    (package,) = OldStore.open(folder).packages()
    return package


def reason(package: OldPackage) -> str:
    """Why the package's one manifest is bad."""
    (item,) = package.manifests
    assert isinstance(item, BadManifest)
    return item.reason


@pytest.mark.parametrize("vendor", ["cnr", "appr"])
@pytest.mark.parametrize("prefix", ["", "packages", "some/other/prefix", "."])
def test_both_layouts_and_any_prefix(tmp_path: Path, vendor: str, prefix: str) -> None:
    data = archive()
    old = OldServer(vendor, prefix).push("foo/bar", "1.0.1", data, metadata={"a": 1}, listed_at="2016-01-02T03:04:05")
    package = only(old.channel("foo/bar", "stable", "1.0.1", current="1.0.1").write(tmp_path))
    (manifest,) = package.manifests
    assert isinstance(manifest, OldManifest)
    assert (package.name, package.created_at) == ("foo/bar", 1_451_703_845_000_000)
    assert (manifest.release, manifest.media_type, manifest.digest) == ("1.0.1", "kpm", tar_digest(data))
    assert (manifest.recorded_size, manifest.created_at) == (len(data), 1_476_187_404_941_731)
    assert manifest.metadata == {"a": 1}
    assert b"".join(manifest.archive.chunks()) == data
    (channel,) = package.channels
    assert (channel.name, channel.current, tuple(channel.members)) == ("stable", "1.0.1", ("1.0.1",))


def test_a_folder_that_both_servers_used(tmp_path: Path) -> None:
    OldServer("cnr").push("a/one", "1.0.0").write(tmp_path)
    OldServer("appr").push("a/two", "1.0.0").write(tmp_path)
    assert sorted(package.name for package in OldStore.open(tmp_path).packages()) == ["a/one", "a/two"]


@pytest.mark.parametrize("start", ["cnr", "cnr/packages"])
def test_the_prefix_itself_may_be_given(tmp_path: Path, start: str) -> None:
    OldServer("cnr").push("a/b", "1.0.0").write(tmp_path)
    assert only(tmp_path / start).name == "a/b"


def test_packages_that_were_deleted_are_left_and_said(tmp_path: Path) -> None:
    old = OldServer().push("a/here", "1.0.0").push("a/gone", "1.0.0").push("b/gone", "1.0.0")
    del old.packages["a/gone"], old.packages["b/gone"]
    store = OldStore.open(old.write(tmp_path))
    assert [package.name for package in store.packages()] == ["a/here"]
    assert [note.split()[0] for note in store.notes] == ["a/gone", "b/gone"]


def test_foreign_characters_are_skipped_as_the_old_server_did(tmp_path: Path) -> None:
    data = archive("x" * 1000)
    old = OldServer().push("a/b", "1.0.0", data)
    key = ("a/b", tar_digest(data))
    old.blobs[key] = "\n".join(f"{old.blobs[key][at : at + 60]} *é" for at in range(0, len(old.blobs[key]), 60))
    (manifest,) = only(old.write(tmp_path)).manifests
    assert isinstance(manifest, OldManifest)
    assert b"".join(manifest.archive.chunks()) == data


def test_a_folder_without_a_store(tmp_path: Path) -> None:
    (tmp_path / "cnr" / "packages").mkdir(parents=True)
    with pytest.raises(OldStoreError, match=r"no packages\.json"):
        OldStore.open(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"packages": []}', '{"packages": {"a": 1}}', "[" * 100_000, '{"packages": "\udcff"}']
)
def test_a_damaged_list_of_packages_stops_the_import(tmp_path: Path, text: str) -> None:
    path = save(OldServer().push("a/b", "1.0.0").write(tmp_path) / "cnr/packages/packages.json", "")
    path.write_text(text, errors="surrogateescape")
    with pytest.raises(OldStoreError, match=r"packages\.json"):
        OldStore.open(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null"])
def test_a_damaged_package_is_that_package_only(tmp_path: Path, text: str) -> None:
    folder = OldServer().push("a/bad", "1.0.0").push("a/good", "1.0.0").write(tmp_path)
    save(folder / "cnr/packages/a/bad/releases.json", text)
    bad, good = OldStore.open(folder).packages()
    assert bad.reason.startswith("releases.json: is ")
    assert (good.reason, len(good.manifests)) == ("", 1)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"content": None}, "content"),
        ({"content": {"size": 1}}, "digest"),
        ({"content": {"digest": 12}}, "digest"),
        ({"content": {"digest": "../../../packages.json"}}, "64 hex digits"),
        ({"content": {"digest": "0" * 64}}, "is missing"),
        ({"mediaType": 1}, "mediaType"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, overrides: dict[str, object], expected: str) -> None:
    old = OldServer().push("a/b", "1.0.0")
    old.releases["a/b"]["releases"]["1.0.0"]["manifests"]["kpm"] |= overrides
    assert expected in reason(only(old.write(tmp_path)))


@pytest.mark.parametrize("value", [None, 3, [], {"manifests": None}, {"manifests": {}, "channels": {"a": 1}}])
def test_a_release_of_the_wrong_shape_has_no_manifests(tmp_path: Path, value: object) -> None:
    old = OldServer().push("a/b", "1.0.0")
    old.releases["a/b"]["releases"]["1.0.0"] = value
    assert only(old.write(tmp_path)).manifests == []


def test_fields_of_the_wrong_type_count_as_not_recorded(tmp_path: Path) -> None:
    old = OldServer().push("a/b", "1.0.0", created_at="yesterday", metadata=[1])
    old.releases["a/b"]["releases"]["1.0.0"]["manifests"]["kpm"]["content"]["size"] = "778"
    package = only(old.write(tmp_path))
    (manifest,) = package.manifests
    assert isinstance(manifest, OldManifest)
    assert (package.created_at, manifest.created_at, manifest.metadata) == (None, None, None)
    assert manifest.recorded_size is None


@pytest.mark.parametrize("name", ["../up", "..", "a/../../b", "/abs", "nul\0", "back\\slash", ""])
def test_no_name_leads_out_of_the_store(tmp_path: Path, name: str) -> None:
    folder = OldServer().push("a/b", "1.0.0").write(tmp_path / "store")
    index: dict[str, object] = {"packages": {"a": {name: {}}, name: {"b": {}}}}
    save(folder / "cnr/packages/packages.json", json.dumps(index))
    save(tmp_path / "up" / "releases.json", '{"releases": {"1.0.0": {}}}')
    assert all(package.reason for package in OldStore.open(folder).packages())


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    folder = OldServer().push("a/b", "1.0.0").write(tmp_path)
    path = folder / "cnr/packages/a/b/releases.json"
    path.unlink()
    os.mkfifo(path)
    assert only(folder).reason == "releases.json: is no file"


def test_a_package_file_that_is_a_folder(tmp_path: Path) -> None:
    old = OldServer().push("a/b", "1.0.0")
    folder = old.write(tmp_path)
    ((_, digest),) = old.blobs
    path = folder / "cnr/packages/a/b/digests/sha256" / digest
    path.unlink()
    path.mkdir()
    assert "is no file" in reason(only(folder))

"""Backups of old servers: told apart in one pass, read entry by entry."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.legacy.old_server import OldServer, archive, save, tar_digest

from cnr.legacy.backup import Backup
from cnr.legacy.old_package import BadManifest, OldManifest, OldPackage, OldStoreError, Unreadable, moment, written


def opened(tmp_path: Path, document: Any, **options: Any) -> Backup:
    return Backup.open(save(tmp_path / "backup.json", json.dumps(document, **options)))


def packages(tmp_path: Path, document: Any, **options: Any) -> list[OldPackage]:
    return list(opened(tmp_path, document, **options).packages())


@pytest.fixture
def document() -> dict[str, Any]:
    old = OldServer("appr").push("b/two", "1.0.0", archive("two")).push("a/one", "1.0.0", archive("one"))
    old.push("b/two", "1.1.0", archive("two"), format="helm")
    return old.channel("b/two", "stable", "1.0.0", "1.1.0", current="1.1.0").backup()


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("channels_first", [True, False])
def test_entries_are_gathered_by_package(
    tmp_path: Path, document: dict[str, Any], indent: int | None, channels_first: bool
) -> None:
    keys = ("channels", "packages") if channels_first else ("packages", "channels")
    one, two = packages(tmp_path, {key: document[key] for key in keys}, indent=indent)
    assert [one.name, two.name] == ["a/one", "b/two"]
    assert one.created_at is None
    assert [(item.release, item.media_type.split(".")[3]) for item in two.manifests] == [
        ("1.0.0", "kpm"),
        ("1.1.0", "helm"),
    ]
    first = two.manifests[0]
    assert isinstance(first, OldManifest)
    assert b"".join(first.archive.chunks()) == archive("two")
    assert (first.digest, first.recorded_size) == (tar_digest(archive("two")), len(archive("two")))
    (channel,) = two.channels
    assert (channel.name, channel.current, channel.members) == ("stable", "1.1.0", ("1.0.0", "1.1.0"))


def test_the_backup_of_a_real_server(corpus: Path) -> None:
    (package,) = Backup.open(corpus / "cnr-backup1.json").packages()
    assert package.name == "titi/rocketchat"
    assert sorted((item.release, item.media_type.split(".")[3]) for item in package.manifests) == [
        ("0.0.1", "helm"),
        ("0.0.1", "kpm"),
        ("1.0.1", "kpm"),
        ("2.0.1", "kpm"),
    ]
    for item in package.manifests:
        assert isinstance(item, OldManifest)
        data = b"".join(item.archive.chunks())
        assert (tar_digest(data), len(data)) == (item.digest, item.recorded_size)
    assert {channel.name: (channel.current, set(channel.members)) for channel in package.channels} == {
        "dev": ("1.0.1", {"1.0.1"}),
        "stable": ("2.0.1", {"1.0.1", "2.0.1"}),
    }


@pytest.mark.parametrize(
    "entry",
    [3, None, [], {}, {"package": 1}, {"release": "1.0.0"}, "text"],
)
def test_an_entry_without_a_package(tmp_path: Path, document: dict[str, Any], entry: object) -> None:
    document["packages"].insert(0, entry)
    document["channels"].append(entry)
    *good, first, second = packages(tmp_path, document)
    assert [package.name for package in good] == ["a/one", "b/two"]
    assert "of 'packages' cannot be read" in first.reason
    assert "of 'channels' cannot be read" in second.reason


def test_an_entry_that_is_no_manifest_is_that_entry_only(tmp_path: Path, document: dict[str, Any]) -> None:
    del document["packages"][0]["content"]
    two = packages(tmp_path, document)[1]
    assert [type(item) for item in two.manifests] == [BadManifest, OldManifest]


@pytest.mark.parametrize("blob", [None, 3, ["x"]])
def test_a_blob_that_is_no_text(tmp_path: Path, document: dict[str, Any], blob: object) -> None:
    document["packages"][2]["blob"] = blob
    (item,) = packages(tmp_path, document)[0].manifests
    assert isinstance(item, OldManifest)
    with pytest.raises(Unreadable, match="blob cannot be read"):
        b"".join(item.archive.chunks())


@pytest.mark.parametrize(
    "text",
    ["", "{'packages': []}", '{"packages": [', '{"packages": [{"package": "a/b"}', "[]", "{}", '{"packages": []}'],
)
def test_a_file_that_is_no_backup(tmp_path: Path, text: str) -> None:
    with pytest.raises(OldStoreError, match="no backup of an old server"):
        Backup.open(save(tmp_path / "backup.json", text))


def test_a_backup_that_changes_while_it_is_read(tmp_path: Path, document: dict[str, Any]) -> None:
    backup = opened(tmp_path, document)
    (tmp_path / "backup.json").write_text("{")
    items = [item for package in backup.packages() for item in package.manifests]
    assert all(isinstance(item, BadManifest) and "shorter" in item.reason for item in items)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00", 0),
        ("2016-11-16T17:13:07.806579", 1_479_316_387_806_579),
        ("2016-11-16T17:13:07.806579Z", 1_479_316_387_806_579),
        ("2016-11-16T18:13:07.806579+01:00", 1_479_316_387_806_579),
        ("1969-12-31T23:59:59", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        ("2016-13-01T00:00:00", None),
        (1_479_316_387, None),
        (None, None),
        ("2" * 1000, None),
    ],
)
def test_times(text: object, expected: int | None) -> None:
    assert moment(text) == expected


def test_times_are_written_with_six_digits() -> None:
    assert written(1_479_316_387_000_000) == "2016-11-16T17:13:07.000000"
    assert moment(written(1_479_316_387_806_579)) == 1_479_316_387_806_579

"""What becomes of an old server's packages. Source: contracts/cnr.md section 8, "R importer", and sections 1 and 4."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tests.legacy.old_server import OldServer, archive, save, tar_digest
from tests.legacy.registries import content, registry_in_memory, take

from cnr.domain.errors import AmbiguousFormat, InvalidQuery, PackageNotFound, ReleaseNotFound, StoreUnavailable
from cnr.domain.limits import Limits
from cnr.domain.names import Channel, Format, PackageName
from cnr.domain.version import Release
from cnr.legacy.backup import Backup
from cnr.legacy.old_package import OldPackage
from cnr.legacy.old_store import OldStore
from cnr.legacy.report import Finding, Report
from cnr.registry.core import Bytes
from cnr.registry.registry import Registry

CHAT = PackageName("titi", "rocketchat")
STABLE = Channel("stable")


async def imported(registry: Registry, old: OldServer, tmp_path: Path, **options: Any) -> Report:
    return await take(registry, OldStore.open(old.write(tmp_path / "old")), **options)


async def restored(registry: Registry, document: dict[str, Any], tmp_path: Path) -> Report:
    return await take(registry, Backup.open(save(tmp_path / "backup.json", json.dumps(document))))


def of(report: Report, kind: str) -> list[Finding]:
    return [finding for finding in report.findings if finding.kind == kind]


def full(vendor: str = "cnr") -> OldServer:
    """Two packages with formats, metadata and channels."""
    old = OldServer(vendor)
    old.push("foo/bar", "1.0.1", created_at="2016-11-16T17:13:07.806579", metadata={"a": [1, None]})
    old.push("foo/bar", "1.0.1", archive("chart"), format="helm", created_at="2016-11-17T17:13:07")
    old.push("foo/bar", "1.1.0-rc.1", created_at="2016-11-15T00:00:00", listed_at="2016-11-15T00:00:00.000001")
    old.push("toto/titi", "3.2.1", listed_at="2016-01-01T00:00:00").push("toto/titi", "4.2.1")
    old.channel("foo/bar", "beta", "1.0.1", "1.1.0-rc.1", current="1.0.1")
    return old.channel("foo/bar", "stable", "1.0.1", current="1.0.1")


@pytest.mark.parametrize("vendor", ["cnr", "appr"])
async def test_case_80_both_layouts(registry: Registry, tmp_path: Path, vendor: str) -> None:
    report = await imported(registry, full(vendor), tmp_path)
    assert report.clean
    assert (report.packages, report.manifests.imported, report.channels.imported) == (2, 5, 2)
    shown = await content(registry)
    bar = shown["foo/bar"]
    assert bar["created_at"] == "2016-11-16T17:13:07.806579"
    assert bar["channels"] == {"beta": ("1.0.1", ("1.1.0-rc.1", "1.0.1")), "stable": ("1.0.1", ("1.0.1",))}
    data = archive("chart")
    assert bar["manifests"]["1.0.1", "helm"] == (
        tar_digest(data),
        len(data),
        "2016-11-17T17:13:07.000000",
        None,
        data,
    )
    assert bar["manifests"]["1.0.1", "kpm"][2:4] == ("2016-11-16T17:13:07.806579", {"a": [1, None]})
    assert shown["toto/titi"]["created_at"] == "2016-01-01T00:00:00.000000"


async def test_case_80_the_backup_is_the_same_but_for_package_times(registry: Registry, tmp_path: Path) -> None:
    assert (await restored(registry, full().backup(), tmp_path)).clean
    restored_content = await content(registry)
    async with registry_in_memory(tmp_path) as other:
        await imported(other, full(), tmp_path)
        imported_content = await content(other)
    assert restored_content["foo/bar"].pop("created_at") == "2016-11-15T00:00:00.000000"
    assert imported_content["foo/bar"].pop("created_at") == "2016-11-16T17:13:07.806579"
    assert restored_content["foo/bar"] == imported_content["foo/bar"]


@pytest.mark.parametrize("kind", ["store", "backup"])
async def test_case_80_twice_is_the_same(registry: Registry, tmp_path: Path, kind: str) -> None:
    async def again() -> Report:
        if kind == "store":
            return await imported(registry, full(), tmp_path)
        return await restored(registry, full().backup(), tmp_path)

    await again()
    before = await content(registry)
    report = await again()
    assert await content(registry) == before
    assert (report.manifests.imported, report.manifests.already_there) == (0, 5)
    assert (report.channels.imported, report.channels.already_there) == (0, 2)
    assert report.clean


class TestTheBackupOfARealServer:
    """Case 80 and section 4, "Pinned by tests on backup1 data"."""

    @pytest.fixture
    async def chat(self, registry: Registry, corpus: Path) -> Registry:
        report = await take(registry, Backup.open(corpus / "cnr-backup1.json"))
        assert report.clean
        assert (report.packages, report.manifests.imported, report.channels.imported) == (1, 4, 2)
        return registry

    async def test_what_is_there(self, chat: Registry) -> None:
        (package,) = await chat.catalog.packages(limit=10)
        assert package.name == CHAT
        items = {(item.release, item.format): item.entry for item in await chat.packages.all(CHAT)}
        assert sorted(items) == [("0.0.1", "helm"), ("0.0.1", "kpm"), ("1.0.1", "kpm"), ("2.0.1", "kpm")]
        for (_, format), entry in items.items():
            digest, size = ("72ed15c9", 583) if format == "helm" else ("d3b54b79", 778)
            assert (entry.tar_digest[:8], entry.size, entry.metadata) == (digest, size, None)
        assert (await content(chat))["titi/rocketchat"]["created_at"] == "2016-10-11T12:03:24.941731"

    async def test_channels(self, chat: Registry) -> None:
        assert (await content(chat))["titi/rocketchat"]["channels"] == {
            "dev": ("1.0.1", ("1.0.1",)),
            "stable": ("2.0.1", ("2.0.1", "1.0.1")),
        }
        assert await chat.packages.channels_at(CHAT, Release("1.0.1")) == ["dev"]
        assert await chat.packages.channels_at(CHAT, Release("2.0.1")) == ["stable"]

    async def test_a_release_leaves_its_channel(self, chat: Registry) -> None:
        await chat.channels.remove(CHAT, STABLE, "2.0.1")
        stable = await chat.channels.get(CHAT, STABLE)
        assert (stable.current, stable.releases) == ("1.0.1", ("1.0.1",))
        assert await chat.packages.channels_at(CHAT, Release("2.0.1")) == []
        await chat.channels.remove(CHAT, Channel("dev"), "1.0.1")
        assert [channel.name for channel in await chat.channels.all(CHAT)] == ["stable"]

    async def test_queries(self, chat: Registry) -> None:
        assert (await chat.packages.find(CHAT, ">1.2", "kpm")).release == "2.0.1"
        with pytest.raises(AmbiguousFormat):
            await chat.packages.find(CHAT, "0.0.1", "-")
        with pytest.raises(PackageNotFound):
            await chat.packages.find(CHAT, ">1.2", "bad")

    async def test_channels_take_only_releases(self, chat: Registry) -> None:
        with pytest.raises(InvalidQuery):
            await chat.channels.add(CHAT, STABLE, "1.a.1")
        with pytest.raises(ReleaseNotFound):
            await chat.channels.add(CHAT, STABLE, "1.4.1")


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("UP/Case", "upper-case letters", "up/case"),
        ("a b/c", "must be lower-case", ""),
        ("A b/c", "upper-case", ""),
        ("é/x", "must be lower-case", ""),
        ("a/b:c", "must be lower-case", ""),
        ("api/x", "reserved", ""),
        ("API/x", "upper-case", ""),
        ("x" * 129 + "/y", "longer than 128", ""),
    ],
)
async def test_a_name_outside_the_rules(
    registry: Registry, tmp_path: Path, name: str, reason: str, suggestion: str
) -> None:
    report = await imported(registry, OldServer().push(name, "1.0.0").push("good/one", "1.0.0"), tmp_path)
    (refused,) = of(report, "refused")
    assert (refused.package, refused.suggestion) == (name, suggestion)
    assert reason in refused.reason
    assert (report.manifests.imported, report.manifests.refused, report.packages) == (1, 1, 1)
    assert list(await content(registry)) == ["good/one"]


async def test_the_lower_case_form_is_taken_where_asked_for(registry: Registry, tmp_path: Path) -> None:
    old = OldServer().push("UP/Case", "1.0.0").push("UP/No Case", "1.0.0").push("low/case", "1.0.0")
    report = await imported(
        registry, old.channel("UP/Case", "dev", "1.0.0", current="1.0.0"), tmp_path, lower_case=True
    )
    assert list(await content(registry)) == ["low/case", "up/case"]
    assert [finding.package for finding in of(report, "refused")] == ["UP/No Case"]
    assert "imported as up/case" in of(report, "note")[0].reason
    assert (await content(registry))["up/case"]["channels"] == {"dev": ("1.0.0", ("1.0.0",))}


@pytest.mark.parametrize(
    ("release", "format", "data", "reason"),
    [
        ("1.0", "kpm", archive(), "full SemVer"),
        ("v1.0.0", "kpm", archive(), "full SemVer"),
        ("1.0.0\n", "kpm", archive(), "full SemVer"),
        ("", "kpm", archive(), "full SemVer"),
        ("1.0.0", "a.b", archive(), "the format"),
        ("1.0.0", "", archive(), "the format"),
        ("1.0.0", "helm", b"no gzip", "no gzip"),
        ("1.0.0", "helm", archive() + b"junk", "junk behind the gzip"),
    ],
)
async def test_one_bad_release_never_stops_the_rest(
    registry: Registry, tmp_path: Path, release: str, format: str, data: bytes, reason: str
) -> None:
    old = OldServer().push("a/b", "2.0.0").push("z/z", "1.0.0")
    old.push("a/b", release, archive(), format=format)
    manifest = old.releases["a/b"]["releases"][release]["manifests"][format]
    if data != archive():
        old.blobs["a/b", tar_digest(archive())] = OldServer.text(data)
    report = await imported(registry, old, tmp_path)
    (refused,) = of(report, "refused")
    assert (refused.package, refused.release, refused.media_type) == ("a/b", release, format)
    assert reason in refused.reason
    assert sorted(await content(registry)) == ["a/b", "z/z"]
    assert manifest["release"] == release


async def test_both_vendors_and_any_version_are_read(registry: Registry, tmp_path: Path) -> None:
    document = full().backup()
    kinds = ["cnr.package-manifest.kpm.v1", "appr.package-manifest.kpm.v0", "cnr.package-manifest.kpm.v12"]
    for at, (entry, kind) in enumerate(zip(document["packages"], kinds, strict=False)):
        entry |= {"release": f"{at}.0.0", "package": "a/b", "mediaType": f"application/vnd.{kind}.json"}
    await restored(registry, document, tmp_path)
    assert {item.format for item in await registry.packages.all(PackageName("a", "b"))} == {"kpm"}


async def test_what_restores_left_in_manifests_is_stripped(registry: Registry, tmp_path: Path) -> None:
    await imported(registry, OldServer().push("a/b", "1.0.0", blob="H4sI", channels=["stale"]), tmp_path)
    shown = (await content(registry))["a/b"]
    assert shown["channels"] == {}
    assert shown["manifests"]["1.0.0", "kpm"][3] is None


async def test_digests_are_computed_anew(registry: Registry, tmp_path: Path) -> None:
    old = OldServer().push("a/b", "1.0.0", archive("recorded"))
    old.blobs["a/b", tar_digest(archive("recorded"))] = OldServer.text(archive("real"))
    for _ in range(2):
        report = await imported(registry, old, tmp_path)
        (differs,) = of(report, "differs")
        assert tar_digest(archive("recorded")) in differs.reason
        assert tar_digest(archive("real")) in differs.reason
        assert not report.clean
    assert (await content(registry))["a/b"]["manifests"]["1.0.0", "kpm"][0] == tar_digest(archive("real"))


async def test_another_size_is_noted(registry: Registry, tmp_path: Path) -> None:
    old = OldServer().push("a/b", "1.0.0")
    old.releases["a/b"]["releases"]["1.0.0"]["manifests"]["kpm"]["content"]["size"] = 5
    report = await imported(registry, old, tmp_path)
    assert report.clean
    assert "recorded as 5 bytes" in of(report, "note")[0].reason


async def test_of_several_gzips_of_a_tar_the_oldest_is_served(registry: Registry, tmp_path: Path) -> None:
    first, second = archive(), gzip.compress(gzip.decompress(archive()), 1, mtime=1)
    assert first != second
    document = OldServer().push("a/b", "1.0.0", first).push("a/b", "2.0.0", first).backup()
    document["packages"][1] |= {"created_at": "2015-01-01T00:00:00", "blob": OldServer.text(second)}
    await restored(registry, document, tmp_path)
    manifests = (await content(registry))["a/b"]["manifests"]
    assert [manifests[release, "kpm"][4] for release in ("1.0.0", "2.0.0")] == [second, second]


async def test_another_content_here_is_never_replaced(registry: Registry, tmp_path: Path) -> None:
    name, release, format = PackageName("foo", "bar"), Release("1.0.1"), Format("kpm")
    await registry.publisher.publish(name, release, format, Bytes(archive("ours")))
    report = await imported(registry, full(), tmp_path)
    (refused,) = of(report, "refused")
    assert "another content here" in refused.reason
    assert (await registry.packages.find(name, release, format)).entry.tar_digest == tar_digest(archive("ours"))


async def test_a_package_that_was_here_keeps_its_earlier_time(registry: Registry, tmp_path: Path) -> None:
    name = PackageName("foo", "bar")
    await registry.publisher.publish(name, Release("0.1.0"), Format("kpm"), Bytes(archive()), created_at=1_000_000)
    await imported(registry, full(), tmp_path)
    assert (await content(registry))["foo/bar"]["created_at"] == "1970-01-01T00:00:01.000000"


async def test_a_package_that_was_here_gets_the_old_earlier_time(registry: Registry, tmp_path: Path) -> None:
    await registry.publisher.publish(
        PackageName("foo", "bar"), Release("9.0.0"), Format("kpm"), Bytes(archive()), created_at=1_600_000_000_000_000
    )
    await imported(registry, full(), tmp_path)
    assert (await content(registry))["foo/bar"]["created_at"] == "2016-11-16T17:13:07.806579"


@pytest.mark.parametrize("created_at", ["9999-12-31T23:59:59.999999", "yesterday"])
async def test_a_time_to_come_is_not_carried_on(registry: Registry, tmp_path: Path, created_at: str) -> None:
    report = await imported(registry, OldServer().push("a/b", "1.0.0", created_at=created_at), tmp_path)
    assert "has no time" in of(report, "note")[0].reason
    shown = (await content(registry))["a/b"]
    assert shown["created_at"][:10] == shown["manifests"]["1.0.0", "kpm"][2][:10] == "2023-11-14"


@pytest.mark.parametrize(
    ("members", "current", "expected"),
    [
        (["1.0.0", "2.0.0"], "9.9.9", ("2.0.0", ("2.0.0", "1.0.0"))),
        (["1.0.0", "2.0.0"], None, ("2.0.0", ("2.0.0", "1.0.0"))),
        (["1.0.0"], "2.0.0", ("2.0.0", ("2.0.0", "1.0.0"))),
        ([], "1.0.0", ("1.0.0", ("1.0.0",))),
        (["2.0.0", "1.0.0"], "1.0.0", ("1.0.0", ("2.0.0", "1.0.0"))),
    ],
)
async def test_members_then_current(
    registry: Registry, tmp_path: Path, members: list[str], current: str | None, expected: tuple[str, tuple[str, ...]]
) -> None:
    old = OldServer().push("a/b", "1.0.0").push("a/b", "2.0.0").channel("a/b", "c", *members, current=current)
    report = await imported(registry, old, tmp_path)
    assert report.clean
    assert (await content(registry))["a/b"]["channels"] == {"c": expected}


@pytest.mark.parametrize("current", ["9.9.9", None])
async def test_a_channel_of_nothing_is_dropped(registry: Registry, tmp_path: Path, current: str | None) -> None:
    report = await imported(registry, OldServer().push("a/b", "1.0.0").channel("a/b", "c", current=current), tmp_path)
    assert (await content(registry))["a/b"]["channels"] == {}
    assert report.clean
    assert any("no release any more" in note.reason for note in of(report, "note"))


@pytest.mark.parametrize("name", ["bad name!", ".hid", "1.0.0", "sha256-abc", "x" * 129])
async def test_a_channel_name_outside_the_rules(registry: Registry, tmp_path: Path, name: str) -> None:
    old = OldServer().push("a/b", "1.0.0").channel("a/b", name, "1.0.0", current="1.0.0")
    report = await imported(registry, old.channel("a/b", "good", "1.0.0", current="1.0.0"), tmp_path)
    assert [finding.channel for finding in of(report, "refused")] == [name]
    assert list((await content(registry))["a/b"]["channels"]) == ["good"]


async def test_a_channel_follows_the_old_server(registry: Registry, tmp_path: Path) -> None:
    old = OldServer().push("a/b", "1.0.0").channel("a/b", "c", "1.0.0", current="1.0.0")
    await imported(registry, old, tmp_path)
    report = await imported(registry, old.push("a/b", "2.0.0").channel("a/b", "c", "2.0.0", current="2.0.0"), tmp_path)
    assert (report.manifests.imported, report.manifests.already_there, report.channels.imported) == (1, 1, 1)
    assert (await content(registry))["a/b"]["channels"] == {"c": ("2.0.0", ("2.0.0", "1.0.0"))}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [({"a": "x" * 70_000}, "metadata has 70,008 bytes"), ({"a": [10**30]}, "integer of more than 64 bits")],
)
async def test_metadata_that_cannot_be_kept(
    registry: Registry, tmp_path: Path, metadata: dict[str, Any], reason: str
) -> None:
    old = OldServer().push("a/b", "1.0.0", metadata=metadata).push("a/b", "2.0.0")
    report = await imported(registry, old, tmp_path)
    assert reason in of(report, "refused")[0].reason
    assert report.manifests.imported == 1


async def test_packages_beyond_the_limits_are_refused(tmp_path: Path) -> None:
    async with registry_in_memory(tmp_path, limits=Limits(compressed_bytes=200)) as registry:
        old = OldServer().push("a/b", "1.0.0").push("a/b", "2.0.0", archive("".join(map(str, range(1000)))))
        report = await imported(registry, old, tmp_path)
    assert [(finding.release, "limit is 200" in finding.reason) for finding in of(report, "refused")] == [
        ("2.0.0", True)
    ]


async def test_a_dry_run_says_the_same_and_writes_nothing(registry: Registry, tmp_path: Path) -> None:
    old = full().push("UP/x", "1.0.0").push("bad/one", "1.0")
    dry = await imported(registry, old, tmp_path, dry_run=True)
    assert await content(registry) == {}
    wet = await imported(registry, old, tmp_path)
    assert (dry.dry_run, wet.dry_run) == (True, False)
    assert (dry.packages, dry.manifests, dry.channels) == (wet.packages, wet.manifests, wet.channels)
    assert dry.findings == wet.findings


async def test_an_import_that_was_interrupted_goes_on(registry: Registry, tmp_path: Path) -> None:
    store = OldStore.open(full().write(tmp_path / "old"))

    class Broken:
        notes = ()

        def packages(self) -> Any:
            yield next(iter(store.packages()))
            raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        await take(registry, Broken())
    assert list(await content(registry)) == ["foo/bar"]
    report = await take(registry, store)
    assert (report.manifests.imported, report.manifests.already_there) == (2, 3)


async def test_deleted_packages_are_noted(registry: Registry, tmp_path: Path) -> None:
    old = full()
    del old.packages["toto/titi"]
    report = await imported(registry, old, tmp_path)
    assert report.clean
    assert list(await content(registry)) == ["foo/bar"]
    assert of(report, "note")[0].reason.startswith("toto/titi is not in packages.json")


async def test_a_package_that_cannot_be_read(registry: Registry) -> None:
    class Source:
        notes = ()

        def packages(self) -> Any:
            yield OldPackage("a/b", reason="releases.json: is damaged")

    report = await take(registry, Source())
    assert (report.manifests.refused, of(report, "refused")[0].reason) == (1, "releases.json: is damaged")

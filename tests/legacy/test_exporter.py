"""A backup of a registry, and the registry that is made from it."""

import base64
import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.legacy.old_server import archive, tar_digest
from tests.legacy.registries import NOW, content, registry_in_memory, take

from cnr.domain.errors import PackageNotFound, ReleaseExists
from cnr.domain.names import Channel, Format, PackageName
from cnr.domain.version import Release
from cnr.legacy.backup import Backup
from cnr.legacy.exporter import export
from cnr.registry.core import Bytes
from cnr.registry.registry import Registry

APP = PackageName("ns", "app")


async def exported(registry: Registry, *packages: PackageName) -> bytes:
    return b"".join([piece async for piece in export(registry, packages or None)])


async def publish(registry: Registry, release: str, data: bytes, format: str = "kpm", **options: Any) -> None:
    await registry.publisher.publish(APP, Release(release), Format(format), Bytes(data), **options)


async def test_an_entry_is_a_manifest_with_its_file_and_channels(registry: Registry) -> None:
    data = archive()
    await publish(registry, "1.0.0", data, created_at=1_479_316_387_000_000, metadata={"a": {"blob": ""}})
    await registry.channels.add(APP, Channel("stable"), "1.0.0")
    assert json.loads(await exported(registry)) == {
        "packages": [
            {
                "package": "ns/app",
                "release": "1.0.0",
                "created_at": "2016-11-16T17:13:07.000000",
                "mediaType": "application/vnd.cnr.package-manifest.kpm.v1.json",
                "content": {
                    "mediaType": "application/vnd.cnr.package.kpm.v1.tar+gzip",
                    "digest": tar_digest(data),
                    "size": len(data),
                    "urls": [],
                },
                "metadata": {"a": {"blob": ""}},
                "channels": ["stable"],
                "blob": base64.b64encode(data).decode(),
            }
        ],
        "channels": [{"current": "1.0.0", "name": "stable", "package": "ns/app"}],
    }


async def test_members_that_are_not_current_are_in_their_channels(registry: Registry) -> None:
    for release in ("1.0.0", "2.0.0"):
        await publish(registry, release, archive(release))
        await registry.channels.add(APP, Channel("all"), release)
    await registry.channels.add(APP, Channel("new"), "2.0.0")
    document = json.loads(await exported(registry))
    assert [entry["channels"] for entry in document["packages"]] == [["all"], ["all", "new"]]
    assert [(channel["name"], channel["current"]) for channel in document["channels"]] == [
        ("all", "2.0.0"),
        ("new", "2.0.0"),
    ]


async def test_an_empty_registry(registry: Registry) -> None:
    assert json.loads(await exported(registry)) == {"packages": [], "channels": []}


@pytest.mark.parametrize("size", [1, 2, 3, 1_500_000])
async def test_files_of_any_length_come_whole(registry: Registry, size: int) -> None:
    """Base64 is cut where chunks of the file end, which is rarely a multiple of three."""
    noise = b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32 + 1)).hex()[
        :size
    ]
    data = archive(noise)
    await publish(registry, "1.0.0", data)
    (entry,) = json.loads(await exported(registry))["packages"]
    assert base64.b64decode(entry["blob"], validate=True) == data


async def test_packages_by_name_and_releases_by_push(registry: Registry) -> None:
    for name, release, at in [("b", "2.0.0", 2), ("a", "1.0.0", 3), ("b", "1.0.0", 1), ("b", "10.0.0", 3)]:
        await registry.publisher.publish(
            PackageName("ns", name), Release(release), Format("kpm"), Bytes(archive(name)), created_at=at
        )
    found = [(entry["package"], entry["release"]) for entry in json.loads(await exported(registry))["packages"]]
    assert found == [("ns/a", "1.0.0"), ("ns/b", "1.0.0"), ("ns/b", "2.0.0"), ("ns/b", "10.0.0")]
    assert await exported(registry) == await exported(registry)


async def test_only_the_named_packages(registry: Registry) -> None:
    for name in ("a", "b", "c"):
        await registry.publisher.publish(PackageName("ns", name), Release("1.0.0"), Format("kpm"), Bytes(archive(name)))
    wanted = (PackageName("ns", "c"), PackageName("ns", "a"), PackageName("ns", "c"))
    assert [entry["package"] for entry in json.loads(await exported(registry, *wanted))["packages"]] == ["ns/a", "ns/c"]


async def test_a_package_that_is_not_there_is_said_before_the_first_byte(registry: Registry) -> None:
    await publish(registry, "1.0.0", archive())
    pieces = export(registry, [APP, PackageName("no", "pkg")])
    with pytest.raises(PackageNotFound):
        await anext(pieces)


async def test_what_is_deleted_meanwhile_is_left_out(registry: Registry) -> None:
    await publish(registry, "1.0.0", archive("one"))
    await registry.publisher.publish(PackageName("ns", "b"), Release("1.0.0"), Format("kpm"), Bytes(archive("two")))
    pieces = export(registry)
    text = await anext(pieces)
    await registry.packages.delete(PackageName("ns", "b"), "1.0.0", "kpm")
    text += b"".join([piece async for piece in pieces])
    assert [entry["package"] for entry in json.loads(text)["packages"]] == ["ns/app"]


names = st.builds(PackageName, st.sampled_from(["a", "b-c", "library"]), st.sampled_from(["x", "y.z"]))
releases = st.sampled_from(["1.0.0", "1.0.0-rc.1", "1.0.0+build.1", "0.9.0", "10.2.3"]).map(Release)
formats = st.sampled_from(["helm", "kpm", "docker-compose"]).map(Format)
metadata = st.none() | st.dictionaries(
    st.text(max_size=5), st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=3
)
pushes = st.tuples(names, releases, formats, st.text(max_size=20), metadata, st.integers(1, NOW - 1))
moves = st.tuples(names, st.sampled_from(["stable", "Dev_1"]).map(Channel), releases)


@given(st.lists(pushes, min_size=1, max_size=8), st.lists(moves, max_size=8))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_import_of_an_export_is_the_same(pushed: list[Any], moved: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        spool = Path(folder)
        async with registry_in_memory(spool) as registry:
            for name, release, format, text, about, at in pushed:
                try:
                    await registry.publisher.publish(
                        name, release, format, Bytes(archive(text)), metadata=about, created_at=at
                    )
                except ReleaseExists:
                    continue
            for name, channel, release in moved:
                if any(view.release == release for view in await registry.catalog.releases(name.repository)):
                    await registry.channels.add(name, channel, release)
            expected, document = await content(registry), await exported(registry)
        (spool / "backup.json").write_bytes(document)
        async with registry_in_memory(spool) as registry:
            assert (await take(registry, Backup.open(spool / "backup.json"))).clean
            found, again = await content(registry), await exported(registry)
    for package in expected.values():  # a backup carries no package times
        package["created_at"] = min(manifest[2] for manifest in package["manifests"].values())
    assert found == expected
    assert again == document

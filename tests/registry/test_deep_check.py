"""`cnr storage check --deep` finds each thing that is broken, whatever driver keeps it."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace
from tests.registry.check_world import LAYER, World, tag, world
from tests.registry.oci_pushes import REPO, once
from tests.services.etcd import Etcd
from tests.services.redis import RedisServer

from cnr.domain.digest import Digest, TarDigest, sha256
from cnr.domain.manifest import parse_manifest
from cnr.domain.names import Repository, Tag
from cnr.domain.store_url import StoreUrl
from cnr.registry.check_keys import place_of
from cnr.registry.check_report import RULES
from cnr.store import keys
from cnr.store.base import ABSENT
from cnr.store.records import (
    AnyTag,
    BlobRecord,
    ContentsRecord,
    ManifestRecord,
    ReleaseTag,
    Repo,
    UploadRecord,
    encode,
)

Break = Callable[[World], Awaitable[str]]
"""Breaks one thing, and returns where that must be found."""
DRIVERS = ("folder", "redis", "etcd", "s3")
_breaks: list[tuple[int, Break]] = []


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    yield etcd
    etcd.kill()


@pytest.fixture(params=DRIVERS)
async def there(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[World]:
    """A store with one of everything, on each driver; with "s3" its larger files are on an object store."""
    place: Path | StoreUrl = tmp_path / "data"
    blobs = None
    if request.param == "redis":
        place = StoreUrl.parse(request.getfixturevalue("redis").url)
    elif request.param == "etcd":
        place = StoreUrl.parse(request.getfixturevalue("etcd").url(f"t{tmp_path.name}"))
    elif request.param == "s3":
        blobs = StoreUrl.parse(request.getfixturevalue("s3").address())
    async with AsyncExitStack() as stack:
        (tmp_path / "local").mkdir()
        yield await stack.enter_async_context(world(place, tmp_path / "local", blobs))


def breaks(rule: int) -> Callable[[Break], Break]:
    """That the function breaks a rule."""

    def add(function: Break) -> Break:
        _breaks.append((rule, function))
        return function

    return add


async def release(there: World, name: str = "1.0.0") -> ReleaseTag:
    found = await there.read(tag(name), AnyTag)
    assert isinstance(found, ReleaseTag)
    return found


async def tar_of(there: World, name: str = "1.0.0") -> TarDigest:
    return next(iter((await release(there, name)).formats.values())).tar_digest


async def contents_of(there: World, name: str = "1.0.0") -> ContentsRecord:
    found: ContentsRecord = await there.read(keys.contents(REPO, await tar_of(there, name)), ContentsRecord)
    return found


async def test_a_store_in_order_is_clean(there: World) -> None:
    report = await there.check()
    assert report.findings == []
    assert report.is_clean
    assert report.records["tags"] == 6
    assert report.size > 4 * len(LAYER)


@breaks(1)
async def a_record_that_is_cut_off(there: World) -> str:
    found = await there.stores.records.get(tag("1.0.0"))
    await there.write(found.key, found.value[: len(found.value) // 2])
    return found.key


@breaks(1)
async def a_record_of_an_unknown_format(there: World) -> str:
    await there.write(keys.repo(REPO), b"\x07" + encode(Repo(state="live", created_at=1))[1:])
    return keys.repo(REPO)


@breaks(1)
async def a_key_that_is_none_of_ours(there: World) -> str:
    key = f"manifests/ns!App/{there.image}"
    await there.stores.records.put(key, b"\x01\x80", expect=ABSENT)
    return key


@breaks(2)
async def a_record_without_the_id_of_its_write(there: World) -> str:
    await there.write(tag("stable"), encode(replace(await there.read(tag("stable"), AnyTag), write="")))
    return tag("stable")


@breaks(3)
async def the_bytes_of_a_blob_are_gone(there: World) -> str:
    key = keys.blob(REPO, sha256(LAYER))
    await there.stores.blobs.delete(await there.bytes_of(key, BlobRecord))
    return key


@breaks(3)
async def the_bytes_of_a_manifest_are_gone(there: World) -> str:
    key = keys.manifest(REPO, there.large)
    await there.stores.blobs.delete(await there.bytes_of(key, ManifestRecord))
    return key


@breaks(3)
async def other_bytes_in_a_blobs_record(there: World) -> str:
    key = keys.blob(REPO, sha256(b"{}"))
    await there.change(key, BlobRecord, lambda found: replace(found, data=b"[]"))
    return key


@breaks(3)
async def another_size_in_a_blobs_record(there: World) -> str:
    key = keys.blob(REPO, sha256(LAYER))
    await there.change(key, BlobRecord, lambda found: replace(found, size=found.size + 1))
    return key


@breaks(3)
async def other_bytes_in_a_manifests_record(there: World) -> str:
    key = keys.manifest(REPO, there.image)
    await there.change(key, ManifestRecord, lambda found: replace(found, data=found.data[:-1] + b" "))
    return key


@breaks(4)
async def a_tags_manifest_is_gone(there: World) -> str:
    await there.drop(keys.manifest(REPO, there.image))
    return tag("plain")


@breaks(4)
async def a_releases_manifest_is_another(there: World) -> str:
    pointer = (await release(there)).manifest
    await there.change(keys.manifest(REPO, pointer.digest), ManifestRecord, lambda found: replace(found, born="0" * 32))
    return tag("1.0.0")


@breaks(4)
async def a_releases_index_is_gone(there: World) -> str:
    pointer = (await release(there, "2.0.0")).index
    assert pointer is not None
    await there.drop(keys.manifest(REPO, pointer.digest))
    return tag("2.0.0")


@breaks(5)
async def a_layer_is_gone(there: World) -> str:
    await there.drop(keys.blob(REPO, sha256(LAYER)))
    return keys.manifest(REPO, there.image)


@breaks(5)
async def the_config_of_a_server_made_manifest_is_gone(there: World) -> str:
    pointer = (await release(there)).manifest
    data = (await there.read(keys.manifest(REPO, pointer.digest), ManifestRecord)).data
    config = parse_manifest(data).config
    assert config is not None
    await there.drop(keys.blob(REPO, config.digest))
    return keys.manifest(REPO, pointer.digest)


@breaks(6)
async def a_named_blob_is_condemned(there: World) -> str:
    await there.change(keys.blob(REPO, sha256(LAYER)), BlobRecord, lambda found: replace(found, state="condemned"))
    return keys.manifest(REPO, there.image)


@breaks(6)
async def a_tags_manifest_is_condemned(there: World) -> str:
    key = keys.manifest(REPO, there.image)
    await there.change(key, ManifestRecord, lambda found: replace(found, state="condemned"))
    return tag("plain")


@breaks(6)
async def the_contents_of_a_release_are_condemned(there: World) -> str:
    key = keys.contents(REPO, await tar_of(there))
    await there.change(key, ContentsRecord, lambda found: replace(found, state="condemned"))
    return tag("1.0.0")


@breaks(7)
async def the_contents_of_a_release_are_gone(there: World) -> str:
    await there.drop(keys.contents(REPO, await tar_of(there)))
    return tag("1.0.0")


@breaks(7)
async def another_size_in_a_release(there: World) -> str:
    def change(found: ReleaseTag) -> ReleaseTag:
        return replace(found, formats={name: replace(each, size=1) for name, each in found.formats.items()})

    await there.change(tag("1.0.0"), AnyTag, change)
    return tag("1.0.0")


@breaks(7)
async def the_gzip_of_a_release_is_gone(there: World) -> str:
    await there.drop(keys.blob(REPO, (await contents_of(there, "3.0.0")).digest))
    return tag("3.0.0")


@breaks(8)
async def contents_that_are_of_another_tar(there: World) -> str:
    other = await contents_of(there, "3.0.0")
    key = keys.contents(REPO, await tar_of(there))
    await there.change(key, ContentsRecord, lambda found: replace(found, digest=other.digest))
    return key


@breaks(9)
async def a_channel_at_no_member(there: World) -> str:
    await there.change(tag("stable"), AnyTag, lambda found: replace(found, current=Tag("2.0.0")))
    return tag("stable")


@breaks(10)
async def two_blobs_on_the_same_bytes(there: World) -> str:
    key = keys.blob(REPO, sha256(LAYER))
    record = await there.read(key, BlobRecord)
    other = keys.blob(Repository("ns/another"), sha256(LAYER))
    await there.stores.records.put(other, encode(record), expect=ABSENT)
    return min(key, other)


@breaks(12)
async def a_package_that_says_it_is_empty(there: World) -> str:
    await there.change(keys.repo(REPO), Repo, lambda found: replace(found, state="empty"))
    return keys.repo(REPO)


@breaks(12)
async def a_package_without_its_age(there: World) -> str:
    await there.drop(keys.repo(REPO))
    return keys.repo(REPO)


@breaks(12)
async def an_empty_package_that_says_it_is_live(there: World) -> str:
    key = keys.repo(Repository("ns/empty"))
    await there.stores.records.put(key, encode(Repo(state="live", created_at=1, write="w")), expect=ABSENT)
    return key


@breaks(13)
async def a_signature_that_is_not_listed(there: World) -> str:
    await there.drop(keys.referrer(REPO, there.image, there.signature))
    return keys.manifest(REPO, there.signature)


@breaks(14)
async def a_child_of_an_index_is_gone(there: World) -> str:
    await there.drop(keys.manifest(REPO, there.large))
    return keys.manifest(REPO, there.index)


@breaks(15)
async def a_part_of_an_upload_is_gone(there: World) -> str:
    key = keys.upload(there.upload)
    upload = await there.read(key, UploadRecord)
    await there.stores.blobs.delete(upload.parts[0].id)
    return key


@breaks(16)
async def bytes_that_nothing_names(there: World) -> str:
    await there.stores.blobs.put("ab" * 16, once(b"left by a crash" * 2000))
    return "ab" * 16


@breaks(16)
async def a_referrer_without_its_manifest(there: World) -> str:
    await there.drop(keys.manifest(REPO, there.signature))
    return keys.referrer(REPO, there.image, there.signature)


@breaks(16)
async def contents_of_no_release(there: World) -> str:
    key = keys.contents(REPO, TarDigest("ab" * 32))
    record = ContentsRecord(digest=Digest(f"sha256:{'cd' * 32}"), size=1, write="w")
    await there.stores.records.put(key, encode(record), expect=ABSENT)
    return key


@breaks(16)
async def a_probe_of_a_server_that_was_killed(there: World) -> str:
    await there.stores.records.put("meta/probe-1", b"1", expect=ABSENT)
    return "meta/probe-1"


@pytest.mark.parametrize(("rule", "break_it"), _breaks, ids=lambda value: getattr(value, "__name__", str(value)))
async def test_what_is_broken_is_found(there: World, rule: int, break_it: Break) -> None:
    where = await break_it(there)
    report = await there.check()
    assert (rule, where) in {(finding.rule, finding.where) for finding in report.findings}, report.findings
    assert report.is_clean == (not any(RULES[finding.rule].severity == "error" for finding in report.findings))


EXAMPLES = {
    "<repo or namespace>": "ns",
    "<repo>": "ns!app",
    "<tag>": "1.0.0_b1",
    "<tar digest>": "ab" * 32,
    "<digest>": f"sha256:{'ab' * 32}",
    "<subject>": f"sha512:{'ab' * 64}",
    "<id>": "ab" * 16,
    "<name>": "somebody",
}


def test_every_kind_of_key_is_known() -> None:
    drawn = re.findall(r"^(\w+/\S*(?: \w+ \w+>\S*| \w+>\S*)?) ", keys.__doc__ or "", re.MULTILINE)
    assert len(drawn) > 18
    for key in drawn:
        for name, example in EXAMPLES.items():
            key = key.replace(name, example)
        if key.startswith("chunks/"):
            continue  # bytes, which are read by their blob's id
        assert place_of(key).kind in key


@pytest.mark.parametrize(
    "key",
    [
        "tags/ns!app/-x",
        "tags/ns!app",
        "tags/ns!App/1.0.0",
        "blobs/ns!app/sha256:ab",
        "manifests/ns!app/x/y",
        "contents/ns!app/sha256:ab",
        f"referrers/ns!app/{'ab' * 32}",
        "repos/ns!app/more",
        "uploads/x",
        "accounts/others/x",
        "meta/others",
        "nothing",
    ],
)
def test_other_keys_are_none_of_ours(key: str) -> None:
    with pytest.raises(ValueError):
        place_of(key)


def test_every_rule_is_broken_once() -> None:
    assert {rule for rule, _ in _breaks} == set(RULES) - {11}, "11 is in tests/cli/test_storage_deep.py"

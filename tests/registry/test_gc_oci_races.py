"""What OCI clients do, and collectors without any grace, in many random orders of their store calls.

After every write of anybody all that a tag reaches is there.
"""

import json
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Literal

import pytest
from tests.faults.faulty import FaultyRecords, Plan
from tests.services.store_check import CUT_OFF, REFUSED, stores_in_order

from cnr.domain.digest import sha256
from cnr.domain.errors import ReferenceMissing
from cnr.domain.manifest import INDEX_TYPE, MANIFEST_TYPE, needed_blobs, parse_manifest
from cnr.domain.names import Repository, Tag
from cnr.registry.references import Pushed, read_manifest
from cnr.registry.registry import Registry
from cnr.store import keys
from cnr.store.base import Absent, BlobStore, Record, RecordStore, Version
from cnr.store.memory_blobs import MemoryBlobs
from cnr.store.records import AnyTag, BlobRecord, ManifestRecord, PlainTag, ReleaseTag
from cnr.store.sqlite import SqliteRecords
from cnr.store.views_sqlite import SqliteViews

from .conftest import MakeRegistry
from .gc_world import collect, decoded, read, there
from .test_gc_races import HOUR, Make, Shared, make, run

__all__ = ["make"]
SCHEDULES = 10_000 if os.environ.get("CNR_LONG") == "1" else 240
BATCHES = 4
ALLOWED = {CUT_OFF, REFUSED}
"""OciShared looks at what tags name more closely."""
REPOS = (Repository("ns/a"), Repository("ns/b"))
TAGS = (Tag("latest"), Tag("edge"), Tag("1.0.0"), Tag("2.0.0"))
BLOBS = (b"{}", b"small", bytes(range(256)) * 100, b"other" * 5000)


def descriptor(data: bytes, media_type: str) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def image(*layers: bytes) -> bytes:
    config, found = descriptor(b"{}", "a/b"), [descriptor(layer, "a/b") for layer in layers]
    return json.dumps({"schemaVersion": 2, "config": config, "layers": found}).encode()


IMAGES = (image(BLOBS[1]), image(BLOBS[2], BLOBS[3]), image(BLOBS[2]))
INDEX = json.dumps({"schemaVersion": 2, "manifests": [descriptor(each, MANIFEST_TYPE) for each in IMAGES[:2]]}).encode()


def pushed(data: bytes) -> Pushed:
    return read_manifest(data, INDEX_TYPE if data == INDEX else MANIFEST_TYPE, sha256(data))


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


class OciShared(Shared):
    """Looks for what OCI tags name."""

    async def losses(self) -> list[str]:
        found = []
        async for key, tag in decoded(self.records, keys.TAGS, AnyTag):
            if not isinstance(tag, ReleaseTag | PlainTag):
                continue
            repository, pointer = keys.split(key).repository, tag.manifest
            record = await read(self.records, keys.manifest(repository, pointer.digest), ManifestRecord)
            if record is not None and record.born == pointer.born:
                found += [f"{key} lost {name}" for name in await self._below(repository, record)]
        return found

    async def _below(self, repository: Repository, record: ManifestRecord) -> list[str]:
        assert record.data is not None
        manifest = parse_manifest(record.data)
        lost: list[str] = []
        for digest in needed_blobs(manifest):
            if not await there(self.records, self.blobs, repository, digest):
                lost.append(digest)
        for child in manifest.manifests or ():
            below = await read(self.records, keys.manifest(repository, child.digest), ManifestRecord)
            lost += [child.digest] if below is None else await self._below(repository, below)
        return lost


async def anywhere(repository: Repository) -> bool:
    return True


async def bring(registry: Registry, repository: Repository, blob: bytes, chance: random.Random) -> None:
    digest = sha256(blob)
    if await registry.blobs.revive(repository, digest):
        return
    if chance.random() < 0.3 and await registry.blobs.mount_any(repository, digest, anywhere):
        return
    if chance.random() < 0.5:
        await registry.uploads.take(repository, digest, once(blob))
        return
    upload = await registry.uploads.begin(repository)
    await registry.uploads.append(repository, upload.id, once(blob))
    await registry.uploads.finish(repository, upload.id, digest, once(b""))


async def push(registry: Registry, repository: Repository, chance: random.Random) -> None:
    data = chance.choice((*IMAGES, INDEX))
    for blob in BLOBS:
        if chance.random() < 0.9:
            await bring(registry, repository, blob, chance)
    if data == INDEX:
        for child in IMAGES[:2]:
            await registry.images.put_by_digest(repository, pushed(child), [])
    if chance.random() < 0.5:
        await registry.images.put(repository, pushed(data), chance.choice(TAGS))
    else:
        await registry.images.put_by_digest(repository, pushed(data), chance.sample(TAGS, 2))


async def act(registry: Registry, chance: random.Random) -> None:
    """One request, or those of a push. Raises what they raise. Children of indexes are not deleted: that is allowed."""
    repository, kind = chance.choice(REPOS), chance.random()
    if kind < 0.55:
        await push(registry, repository, chance)
    elif kind < 0.7:
        await registry.images.delete_tag(repository, chance.choice(TAGS))
    elif kind < 0.85:
        await registry.images.delete(repository, sha256(chance.choice((IMAGES[2], INDEX))))
    else:
        await registry.blob_deletes.delete(repository, sha256(chance.choice(BLOBS)))


@pytest.mark.parametrize("batch", range(BATCHES))
async def test_no_tag_without_its_bytes(make: Make, batch: int) -> None:
    done = 0
    for number in range(SCHEDULES // BATCHES):
        seed = batch * 1_000_000 + number
        shared = OciShared(seed)
        views = [SqliteViews(), SqliteViews()]
        done += await run(shared, make, views, act)
        assert shared.lost == [], seed
        await stores_in_order(shared.records, shared.blobs, but=ALLOWED)
        quiet = make(shared, shared.records, shared.blobs, views[0])
        await collect(quiet)
        shared.now += 2 * HOUR
        await collect(quiet)
        assert await shared.losses() == [], seed
        await unnamed(shared.records, shared.blobs)
        await stores_in_order(shared.records, shared.blobs, but=ALLOWED)
        await shared.records.close()
        for each in views:
            await each.close()
    assert done > SCHEDULES // BATCHES * 3


async def unnamed(store: RecordStore, blobs: BlobStore) -> None:
    """No bytes are left that no record names."""
    named = {record.blob_id async for _, record in decoded(store, keys.BLOBS, BlobRecord)}
    assert [blob_id async for blob_id in blobs.scan() if blob_id not in named] == []


class Hooked(FaultyRecords):
    """Runs a hook once, after the first call of its name."""

    def __init__(self, inner: RecordStore, hooks: dict[str, Callable[[], Awaitable[None]]]) -> None:
        super().__init__(inner, Plan())
        self.hooks = hooks

    async def get(self, key: str) -> Record:
        try:
            return await super().get(key)
        finally:
            await self._hook(f"get {key}")

    async def put(
        self, key: str, value: bytes, *, expect: Version | Literal[Absent.ABSENT], durable: bool = True
    ) -> Version:
        version = await super().put(key, value, expect=expect, durable=durable)
        await self._hook(f"put {key}")
        return version

    async def _hook(self, name: str) -> None:
        if (hook := self.hooks.pop(name, None)) is not None:
            await hook()


async def test_a_refused_push_does_not_take_back_anothers(
    registry: Registry, records: SqliteRecords, blobs: MemoryBlobs, views: SqliteViews, make_registry: MakeRegistry
) -> None:
    """Both push one manifest; the first finds a blob gone, the second brings it and is told 201: that stays."""
    data, repository, layer = IMAGES[0], REPOS[0], sha256(BLOBS[1])
    for blob in BLOBS[:2]:
        await registry.uploads.take(repository, sha256(blob), once(blob))
    hooks: dict[str, Callable[[], Awaitable[None]]] = {}
    key = keys.blob(repository, layer)

    async def collected() -> None:
        await records.delete(key, expect=(await records.get(key)).version)
        hooks[f"get {key}"] = overtaken

    async def overtaken() -> None:
        await registry.uploads.take(repository, layer, once(BLOBS[1]))
        await registry.images.put(repository, pushed(data), Tag("v1"))

    hooks[f"put {keys.manifest(repository, sha256(data))}"] = collected
    slow = make_registry(Hooked(records, hooks), blobs, views)
    with pytest.raises(ReferenceMissing):
        await slow.images.put(repository, pushed(data), Tag("v2"))
    assert hooks == {}
    assert (await registry.images.resolve(repository, Tag("v1"))).digest == sha256(data)

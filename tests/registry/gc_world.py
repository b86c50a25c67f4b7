"""What garbage collection must keep, and what it must not leave, seen straight in the stores."""

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from cnr.domain.digest import Digest
from cnr.domain.manifest import blobs_of, parse_manifest
from cnr.domain.names import Format
from cnr.domain.version import Release
from cnr.registry.announce import names_of
from cnr.registry.core import Bytes
from cnr.registry.gc import Collector
from cnr.registry.gc_report import Report
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.base import BlobNotFound, BlobStore, Record, RecordNotFound, RecordStore
from cnr.store.records import AnyTag, BlobRecord, ContentsRecord, ManifestRecord, ReferrerRecord, ReleaseTag

from .conftest import APP, chart, package

HELM, KPM = Format("helm"), Format("kpm")
RELEASES = (Release("1.0.0"), Release("2.0.0"))
LARGE = package({"manifest.yaml": b"x: 1\n", "data": bytes(range(256)) * 100}, level=0)
LARGE_AGAIN = package({"manifest.yaml": b"x: 1\n", "data": bytes(range(256)) * 100}, level=1)
"""The same tar in another gzip."""


def source(release: Release, format: Format, number: int) -> Bytes:
    """One of a few packages, so that pushes meet: of kpm the same tar for all releases, in two gzips."""
    return (LARGE, LARGE_AGAIN)[number % 2] if format == KPM else chart(release)


def collector(registry: Registry, grace: timedelta | None = None) -> Collector:
    return Collector(registry.core, registry.manifests, grace)


async def collect(registry: Registry, *, dry_run: bool = False) -> Report:
    return await collector(registry).collect(dry_run=dry_run)


async def act(registry: Registry, chance: random.Random) -> None:
    """Push or delete one of a few releases. Raises what that raises."""
    release, format = chance.choice(RELEASES), chance.choice((HELM, KPM))
    if chance.random() < 0.6:
        content = source(release, format, chance.randrange(2))
        await registry.publisher.publish(APP, release, format, content, force=chance.random() < 0.3)
    else:
        await registry.packages.delete(APP, release, format)


async def each(store: RecordStore, prefix: str) -> AsyncIterator[Record]:
    """Records of a small store, in one go, so that nobody writes in between."""
    for record in await store.scan(prefix, limit=1000):
        yield record


async def decoded(store: RecordStore, prefix: str, kind: Any) -> AsyncIterator[tuple[str, Any]]:
    async for record in each(store, prefix):
        yield record.key, records.decode(kind, record.value)


async def read(store: RecordStore, key: str, kind: Any) -> Any:
    try:
        return records.decode(kind, (await store.get(key)).value)
    except RecordNotFound:
        return None


async def losses(store: RecordStore, blobs: BlobStore) -> list[str]:
    """What live releases name and is not there. Looks again where a release changed meanwhile."""
    found = []
    for record in [record async for record in each(store, keys.TAGS)]:
        tag: Any = records.decode(AnyTag, record.value)
        if isinstance(tag, ReleaseTag) and (lost := await _lost(store, blobs, record.key, tag)):
            try:
                if (await store.get(record.key)).version == record.version:
                    found += [f"{record.key} lost {name}" for name in lost]
            except RecordNotFound:
                continue
    return found


async def _lost(store: RecordStore, blobs: BlobStore, key: str, tag: ReleaseTag) -> list[str]:
    repository = keys.split(key).repository
    lost = []
    needed: set[Digest] = set()
    for pointer in names_of(tag):
        manifest = await read(store, keys.manifest(repository, pointer.digest), ManifestRecord)
        if manifest is None or manifest.born != pointer.born:
            lost.append(f"manifest {pointer.digest}")
        else:
            needed.update(blobs_of(parse_manifest(manifest.data)))
    for entry in tag.formats.values():
        contents = await read(store, keys.contents(repository, entry.tar_digest), ContentsRecord)
        if contents is None or contents.size != entry.size:
            lost.append(f"contents {entry.tar_digest}")
        else:
            needed.add(contents.digest)
    return lost + [f"blob {digest}" for digest in needed if not await there(store, blobs, repository, digest)]


async def there(store: RecordStore, blobs: BlobStore, repository: Any, digest: Digest) -> bool:
    """Whether a blob is there with all its bytes."""
    record = await read(store, keys.blob(repository, digest), BlobRecord)
    if record is None or record.data is not None:
        return record is not None
    try:
        reader = await blobs.open(record.blob_id)
    except BlobNotFound:
        return False
    return sum([len(chunk) async for chunk in reader.chunks]) == int(record.size)


async def leftovers(store: RecordStore, blobs: BlobStore) -> list[str]:
    """What is there and no live release needs."""
    manifests: set[str] = set()
    tars: set[str] = set()
    needed: set[str] = set()
    left = []
    async for key, tag in decoded(store, keys.TAGS, AnyTag):
        repository = keys.split(key).repository
        if not isinstance(tag, ReleaseTag):
            left.append(key)
            continue
        manifests |= {keys.manifest(repository, pointer.digest) for pointer in names_of(tag)}
        tars |= {keys.contents(repository, entry.tar_digest) for entry in tag.formats.values()}
    async for key, manifest in decoded(store, keys.MANIFESTS, ManifestRecord):
        needed |= {keys.blob(keys.split(key).repository, digest) for digest in blobs_of(parse_manifest(manifest.data))}
        left += [key] if key not in manifests else []
    async for key, contents in decoded(store, keys.CONTENTS, ContentsRecord):
        needed.add(keys.blob(keys.split(key).repository, contents.digest))
        left += [key] if key not in tars else []
    async for key, _ in decoded(store, keys.REFERRERS, ReferrerRecord):
        repository, digest = keys.split(key).repository, Digest(key.rpartition("/")[2])
        left += [key] if keys.manifest(repository, digest) not in manifests else []
    ids = set()
    async for key, blob in decoded(store, keys.BLOBS, BlobRecord):
        ids.add(blob.blob_id)
        left += [key] if key not in needed else []
    return left + [f"bytes {blob_id}" async for blob_id in blobs.scan() if blob_id not in ids]

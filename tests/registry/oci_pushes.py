"""What OCI clients push into a registry without any HTTP: charts, images, indexes, referrers."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from cnr.domain.digest import Digest, sha256
from cnr.domain.manifest import HELM_CHART_LAYER, HELM_CONFIG, INDEX_TYPE, MANIFEST_TYPE
from cnr.domain.names import Tag
from cnr.registry.references import read_manifest
from cnr.registry.registry import Registry

from .conftest import APP, chart

REPO = APP.repository
CONFIG = b'{"name": "app"}'


async def once(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def take(registry: Registry, *blobs: bytes) -> None:
    for data in blobs:
        await registry.uploads.take(REPO, sha256(data), once(data))


def described(data: bytes, media_type: str = MANIFEST_TYPE) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data)}


def image(layer: bytes, **more: Any) -> bytes:
    """An image of one layer."""
    layers = [described(layer, "application/octet-stream")]
    found = {"schemaVersion": 2, "config": described(b"{}", "application/x.config"), "layers": layers, **more}
    return json.dumps(found).encode()


def index(*children: bytes, **more: Any) -> bytes:
    found = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [described(child) for child in children], **more}
    return json.dumps(found).encode()


def chart_image(version: str, *, extra: bytes = b"", **more: Any) -> bytes:
    """As `helm push` makes it."""
    layers = [described(chart(version, extra=extra).data, HELM_CHART_LAYER)]
    return json.dumps({"schemaVersion": 2, "config": described(CONFIG, HELM_CONFIG), "layers": layers, **more}).encode()


async def put(registry: Registry, data: bytes, tags: Sequence[str] = (), media_type: str = MANIFEST_TYPE) -> Digest:
    """PUT of a manifest: to its one tag, or by its digest with all of them."""
    pushed = read_manifest(data, media_type, sha256(data))
    if len(tags) == 1:
        await registry.images.put(REPO, pushed, Tag(tags[0]))
    else:
        await registry.images.put_by_digest(REPO, pushed, [Tag(tag) for tag in tags])
    return pushed.digest


async def put_image(registry: Registry, layer: bytes, *tags: str, **more: Any) -> Digest:
    await take(registry, b"{}", layer)
    return await put(registry, image(layer, **more), tags)


async def put_chart(registry: Registry, version: str, *tags: str, extra: bytes = b"", **more: Any) -> Digest:
    await take(registry, CONFIG, chart(version, extra=extra).data)
    return await put(registry, chart_image(version, extra=extra, **more), tags)

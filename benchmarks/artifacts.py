"""Pushes OCI artifacts to a running registry, whichever it is: one layer, the empty config, a manifest by tag."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import httpx

OCI = "application/vnd.oci.image.manifest.v1+json"
_PIECE = 1 << 20


def digest_of(data: bytes) -> str:
    """The sha256 digest of `data`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def upload(http: httpx.Client, repository: str, data: bytes) -> dict[str, Any]:
    """Push a blob at once; returns its descriptor."""
    digest = digest_of(data)
    put_blob(http, repository, digest, iter([data]), len(data))
    return {"mediaType": "application/octet-stream", "digest": digest, "size": len(data)}


def put_blob(http: httpx.Client, repository: str, digest: str, chunks: Iterator[bytes], size: int) -> None:
    """Push a blob of `size` bytes as oras does: POST, then PUT with the whole body."""
    begun = http.post(f"/v2/{repository}/blobs/uploads/").raise_for_status()
    where = begun.headers["location"]
    mark = "&" if "?" in where else "?"
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    http.put(f"{where}{mark}digest={digest}", content=chunks, headers=headers).raise_for_status()


def put_manifest(
    http: httpx.Client, repository: str, reference: str, layers: list[dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """Push a manifest over `layers`, with `more` fields; returns its descriptor. The empty config must be there."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI,
        "artifactType": "application/x.bench",
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(b"{}"), "size": 2},
        "layers": layers,
        **more,
    }
    data = json.dumps(manifest, separators=(",", ":")).encode()
    where = f"/v2/{repository}/manifests/{reference or digest_of(data)}"
    http.put(where, content=data, headers={"Content-Type": OCI}).raise_for_status()
    return {"mediaType": OCI, "digest": digest_of(data), "size": len(data)}


def noise(size: int, seed: bytes) -> Iterator[bytes]:
    """`size` incompressible bytes, the same for the same seed, in pieces of 1 MiB."""
    base = hashlib.shake_256(seed).digest(_PIECE)
    for at in range(0, size, _PIECE):
        piece = at.to_bytes(8, "big") + base[8:]
        yield piece[: min(_PIECE, size - at)]

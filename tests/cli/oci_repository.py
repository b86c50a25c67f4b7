"""A repository at an OCI registry as a test fills it and looks into it, by plain HTTP and not by our client."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
ACCEPT = {"Accept": f"{MANIFEST}, {INDEX}"}


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str = "application/octet-stream", algorithm: str = "sha256") -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def image(*layers: bytes, algorithm: str = "sha256", **more: Any) -> bytes:
    """A manifest with these layers and the config `{}`; the same for the same words."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json", algorithm),
            "layers": [descriptor(layer, algorithm=algorithm) for layer in layers],
            **more,
        }
    ).encode()


def index(*children: bytes, platforms: tuple[str, ...] = (), **more: Any) -> bytes:
    entries = [descriptor(child, json.loads(child)["mediaType"]) for child in children]
    for entry, platform in zip(entries, platforms, strict=False):
        os, architecture = platform.split("/")
        entry["platform"] = {"os": os, "architecture": architecture}
    return json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries, **more}).encode()


def referrer(subject: bytes, kind: str, *layers: bytes) -> bytes:
    """A manifest that refers to another."""
    named = descriptor(subject, json.loads(subject)["mediaType"])
    return image(*layers, artifactType=kind, subject=named)


@dataclass(frozen=True)
class OciRepository:
    """`address` is HOST:PORT/path."""

    address: str

    @property
    def url(self) -> str:
        host, _, path = self.address.partition("/")
        return f"http://{host}/v2/{path}"

    def blob(self, data: bytes, algorithm: str = "sha256") -> bytes:
        begun = self._ask("POST", f"{self.url}/blobs/uploads/")
        location = httpx.URL(self.url).join(begun.headers["location"])
        target = location.copy_merge_params({"digest": digest_of(data, algorithm)})
        assert self._ask("PUT", target, content=data).status_code == 201
        return data

    def manifest(self, data: bytes, reference: str | None = None) -> bytes:
        kind = {"Content-Type": json.loads(data)["mediaType"]}
        put = self._ask("PUT", f"{self.url}/manifests/{reference or digest_of(data)}", content=data, headers=kind)
        assert put.status_code == 201, put.text
        return data

    def image(self, *layers: bytes, tag: str | None = None, **more: Any) -> bytes:
        """Pushes an image with its layers."""
        for data in (b"{}", *layers):
            self.blob(data)
        return self.manifest(image(*layers, **more), tag)

    def referrer(self, subject: bytes, kind: str, *layers: bytes) -> bytes:
        for data in (b"{}", *layers):
            self.blob(data)
        return self.manifest(referrer(subject, kind, *layers))

    def get(self, reference: str) -> bytes | None:
        """The manifest's bytes; None where there is none."""
        found = self._ask("GET", f"{self.url}/manifests/{reference}", headers=ACCEPT)
        return found.content if found.status_code == 200 else None

    def has_blob(self, data: bytes, algorithm: str = "sha256") -> bool:
        return self._ask("HEAD", f"{self.url}/blobs/{digest_of(data, algorithm)}").status_code == 200

    def tags(self) -> list[str]:
        found = self._ask("GET", f"{self.url}/tags/list")
        return sorted(found.json()["tags"] or []) if found.status_code == 200 else []

    def referrers(self, subject: bytes) -> set[str]:
        """The digests of what refers to a manifest, from the registry's list or the one at the tag."""
        found = self._ask("GET", f"{self.url}/referrers/{digest_of(subject)}")
        data = found.content if found.status_code == 200 else self.get(digest_of(subject).replace(":", "-"))
        return {entry["digest"] for entry in json.loads(data)["manifests"]} if data else set()

    def _ask(self, method: str, url: str | httpx.URL, **request: Any) -> httpx.Response:
        with httpx.Client(trust_env=False) as client:
            return client.request(method, url, **request)

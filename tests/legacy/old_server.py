"""Stores and backups as old servers left them, to import in tests.

Source: contracts/cnr.md section 8, "Store keys" and "Backup JSON".
"""

import base64
import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VENDORS = {"cnr": "v1", "appr": "v0"}
"""Vendor of the seed-era layout and of the later one, with the schema version that each wrote."""


def archive(text: str = "hello", name: str = "README.md") -> bytes:
    """A gzipped tar with one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        data = text.encode()
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    return gzip.compress(buffer.getvalue(), mtime=0)


def tar_digest(data: bytes) -> str:
    """The digest by which old servers named a gzipped tar."""
    return hashlib.sha256(gzip.decompress(data)).hexdigest()


@dataclass
class OldServer:
    """What an old server held; `write` puts it into a folder in its layout, `backup` into one document."""

    vendor: str = "cnr"
    prefix: str = ""
    packages: dict[str, dict[str, Any]] = field(default_factory=dict)
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    blobs: dict[tuple[str, str], str] = field(default_factory=dict)

    def push(
        self,
        package: str,
        release: str,
        data: bytes | None = None,
        *,
        format: str = "kpm",
        created_at: str = "2016-10-11T12:03:24.941731",
        listed_at: str | None = None,
        **overrides: Any,
    ) -> "OldServer":
        """Publish as the old server did; `overrides` replace fields of the manifest."""
        blob = archive(f"{package} {release}") if data is None else data
        manifest = self.manifest(package, release, format, blob) | {"created_at": created_at} | overrides
        document = self.releases.setdefault(package, {"page": 0, "channels": {}, "releases": {}})
        entry = document["releases"].setdefault(release, {"manifests": {}, "channels": []})
        entry["manifests"][format] = manifest
        self.blobs[package, tar_digest(blob)] = self.text(blob)
        namespace, _, name = package.partition("/")
        record = {"created_at": listed_at or created_at, "name": name, "namespace": namespace}
        self.packages.setdefault(package, record)
        return self

    @staticmethod
    def text(data: bytes) -> str:
        """A package file as it is kept."""
        return base64.b64encode(data).decode()

    def manifest(self, package: str, release: str, format: str, blob: bytes) -> dict[str, Any]:
        version = VENDORS[self.vendor]
        return {
            "package": package,
            "release": release,
            "mediaType": f"application/vnd.{self.vendor}.package-manifest.{format}.{version}.json",
            "content": {
                "mediaType": f"application/vnd.{self.vendor}.package.{format}.{version}.tar+gzip",
                "digest": tar_digest(blob),
                "size": len(blob),
                "urls": [],
            },
        }

    def channel(self, package: str, name: str, *members: str, current: str | None) -> "OldServer":
        """A channel with these members."""
        document = self.releases[package]
        document["channels"][name] = {"name": name, "current": current, "package": package}
        for release in members:
            document["releases"][release]["channels"].append(name)
        return self

    def write(self, folder: Path) -> Path:
        """The store's folder."""
        root = folder / (self.prefix or f"{self.vendor}/packages/")
        index: dict[str, Any] = {}
        for package, record in self.packages.items():
            namespace, _, name = package.partition("/")
            index.setdefault(namespace, {})[name] = record
        save(root / "packages.json", json.dumps({"page": 0, "packages": index}))
        save(root / "packages.json.lock", "1480000000.0")
        for package, document in self.releases.items():
            save(root / package / "releases.json", json.dumps(document))
        for (package, digest), text in self.blobs.items():
            save(root / package / "digests" / "sha256" / digest, text)
        return folder

    def backup(self) -> dict[str, Any]:
        """The backup document."""
        return {
            "packages": [
                manifest | {"channels": entry["channels"], "blob": self.blobs[package, manifest["content"]["digest"]]}
                for package, document in self.releases.items()
                for entry in document["releases"].values()
                for manifest in entry["manifests"].values()
            ],
            "channels": [channel for document in self.releases.values() for channel in document["channels"].values()],
        }


def save(path: Path, text: str) -> Path:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path

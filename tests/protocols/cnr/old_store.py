"""Stores as the two lines of old servers wrote them. Source: contracts/cnr.md section 8, "Store keys"."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.protocols.cnr.packages import tar_digest

CREATED_AT = "2016-10-11T12:03:24.941731"


@dataclass(frozen=True)
class Line:
    """What differs between the two: the vendor in media types and keys, the schema, and whether metadata is kept."""

    vendor: str
    schema: str
    keeps_metadata: bool

    def manifest(self, package: str, release: str, format: str, blob: bytes) -> dict[str, Any]:
        """A manifest as this line stored it."""
        manifest = {
            "content": {
                "digest": tar_digest(blob),
                "mediaType": f"application/vnd.{self.vendor}.package.{format}.{self.schema}.tar+gzip",
                "size": len(blob),
                "urls": [],
            },
            "created_at": CREATED_AT,
            "mediaType": f"application/vnd.{self.vendor}.package-manifest.{format}.{self.schema}.json",
            "package": package,
            "release": release,
        }
        return {**manifest, "metadata": None} if self.keeps_metadata else manifest


S = Line("cnr", "v1", keeps_metadata=False)
H = Line("appr", "v0", keeps_metadata=True)


@dataclass(frozen=True)
class OldPackage:
    """`releases`: formats and their packages; `channels`: name to (current, members)."""

    name: str
    releases: Mapping[str, Mapping[str, bytes]]
    channels: Mapping[str, tuple[str, Sequence[str]]]


def write(folder: Path, line: Line, *packages: OldPackage) -> None:
    """Write the packages as files below `folder`, the old server's DATABASE_URL."""
    base = folder / line.vendor / "packages"
    listed: dict[str, dict[str, Any]] = {}
    for package in packages:
        namespace, name = package.name.split("/")
        entry = {"created_at": CREATED_AT, "name": name, "namespace": namespace}
        listed.setdefault(namespace, {})[name] = entry
        _write_package(base, line, package)
    _write_json(base / "packages.json", {"page": 0, "packages": listed})


def _write_package(base: Path, line: Line, package: OldPackage) -> None:
    releases: dict[str, Any] = {}
    for release, formats in package.releases.items():
        manifests = {format: line.manifest(package.name, release, format, blob) for format, blob in formats.items()}
        members = [name for name, (_, members) in package.channels.items() if release in members]
        releases[release] = {"manifests": manifests, "channels": members}
        for blob in formats.values():
            _write_blob(base / package.name / "digests" / "sha256" / tar_digest(blob), blob)
    channels = {
        name: {"name": name, "current": current, "package": package.name}
        for name, (current, _) in package.channels.items()
    }
    _write_json(base / package.name / "releases.json", {"page": 0, "channels": channels, "releases": releases})


def _write_blob(path: Path, blob: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64encode(blob))


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))

"""Container images in an OCI layout folder, made by hand: small, of several layers, of several platforms."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from tests.protocols.cnr.packages import gz, tar
from tests.protocols.oci.client import INDEX, MANIFEST

CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
NAME: Final = "org.opencontainers.image.ref.name"


class Layout:
    """An OCI image layout. Source: OCI image 1.1, "Image Layout"."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self._named: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str, **more: object) -> dict[str, Any]:
        """Store `data`; its descriptor."""
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(self, *contents: bytes, architecture: str = "amd64") -> dict[str, Any]:
        """An image with a layer for each of `contents`; its descriptor."""
        tars = [tar({f"file{number}": data}) for number, data in enumerate(contents)]
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(each).hexdigest()}" for each in tars]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(_json(config), CONFIG),
            "layers": [self.blob(gz(each), LAYER) for each in tars],
        }
        platform = {"os": "linux", "architecture": architecture}
        return self.blob(_json(manifest), MANIFEST, platform=platform)

    def with_layers(self, image: dict[str, Any], *layers: dict[str, Any]) -> dict[str, Any]:
        """`image` with these layers instead of its own; whoever calls has put their blobs where they belong."""
        manifest = json.loads((self.folder / "blobs" / image["digest"].replace(":", "/")).read_bytes())
        return self.blob(_json({**manifest, "layers": layers}), MANIFEST, platform=image["platform"])

    def index(self, *images: dict[str, Any]) -> dict[str, Any]:
        """An index of these; its descriptor."""
        return self.blob(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": images}), INDEX)

    def name(self, name: str, descriptor: dict[str, Any]) -> str:
        """Give what `descriptor` names this name in the layout; its digest."""
        self._named.append({**descriptor, "annotations": {NAME: name}})
        (self.folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": self._named}))
        return str(descriptor["digest"])

    def both(self) -> tuple[str, str]:
        """Make an image `one` of three layers, and an index `multi` for two platforms; their digests.

        No manifest is in both, as who deletes `one` deletes its manifest.
        """
        one = self.image(b"a" * 1000, b"b", b"c")
        multi = self.index(self.image(b"a" * 1000, b"amd"), self.image(b"a" * 1000, b"arm", architecture="arm64"))
        return self.name("one", one), self.name("multi", multi)


def blobs(folder: Path) -> set[str]:
    """The digests of what a layout holds."""
    return {each.name for each in (folder / "blobs" / "sha256").iterdir()}


def _json(value: object) -> bytes:
    return json.dumps(value).encode()

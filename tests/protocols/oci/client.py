"""What tests do in one repository, over plain HTTP."""

import gzip
import hashlib
import io
import itertools
import json
import tarfile
from dataclasses import dataclass
from typing import Any

import httpx

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
EMPTY_TYPE = "application/vnd.oci.empty.v1+json"

_numbers = itertools.count(1)


def digest(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def image(*layers: bytes, config: bytes = b"{}", **more: Any) -> bytes:
    """An image manifest whose blobs are these."""
    found = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(config, EMPTY_TYPE),
        "layers": [descriptor(layer, "application/octet-stream") for layer in layers],
        **more,
    }
    return json.dumps(found).encode()


def chart_archive(name: str, version: str, *, extra: bytes = b"a: 1\n", level: int = 9) -> bytes:
    """A chart's .tgz."""
    text = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: An app\n".encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, data in ((f"{name}/Chart.yaml", text), (f"{name}/values.yaml", extra)):
            member = tarfile.TarInfo(path)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return gzip.compress(out.getvalue(), level, mtime=0)


def chart_manifest(config: bytes, archive: bytes, *, created: str = "2026-01-01T00:00:00Z") -> bytes:
    """As `helm push` makes it: without a mediaType."""
    found = {
        "schemaVersion": 2,
        "config": descriptor(config, HELM_CONFIG),
        "layers": [descriptor(archive, CHART_LAYER)],
        "annotations": {"org.opencontainers.image.created": created},
    }
    return json.dumps(found).encode()


@dataclass(frozen=True)
class Oci:
    """One repository of a server."""

    http: httpx.Client
    name: str

    @classmethod
    def fresh(cls, http: httpx.Client, *, namespace: str = "oci") -> "Oci":
        return cls(http, f"{namespace}/repo{next(_numbers)}")

    def another(self, name: str = "") -> "Oci":
        return Oci(self.http, name or f"oci/repo{next(_numbers)}")

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.http.request(method, f"/v2/{self.name}/{path}", **options)

    def begin(self) -> str:
        answer = self.call("POST", "blobs/uploads/")
        assert answer.status_code == 202, answer.text
        return str(answer.headers["location"])

    def blob(self, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob in one piece; its digest."""
        wanted = digest(data, algorithm)
        answer = self.http.put(self.begin(), params={"digest": wanted}, content=data)
        assert answer.status_code == 201, answer.text
        return wanted

    def put(self, reference: str, data: bytes, media_type: str = MANIFEST, **options: Any) -> httpx.Response:
        headers = {"content-type": media_type} if media_type else {}
        return self.call("PUT", f"manifests/{reference}", content=data, headers=headers, **options)

    def image(self, reference: str, *layers: bytes, **more: Any) -> bytes:
        """Push an image with these layers."""
        for blob in (b"{}", *layers):
            self.blob(blob)
        data = image(*layers, **more)
        answer = self.put(reference, data)
        assert answer.status_code == 201, answer.text
        return data

    def chart(self, version: str, *, created: str = "2026-01-01T00:00:00Z", **options: Any) -> httpx.Response:
        """Push a chart as helm does."""
        name = self.name.rpartition("/")[2]
        archive = chart_archive(name, version, **options)
        config = json.dumps({"name": name, "version": version}).encode()
        for blob in (config, archive):
            self.blob(blob)
        return self.put(version.replace("+", "_"), chart_manifest(config, archive, created=created), MANIFEST)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.call("GET", path, **options)

    def tags(self, **query: Any) -> list[str]:
        answer = self.get("tags/list", params=query)
        assert answer.status_code == 200, answer.text
        found: list[str] = answer.json()["tags"]
        return found


def code(answer: httpx.Response) -> str:
    """The code of an error answer."""
    found = answer.json()["errors"][0]
    assert found["message"]
    return str(found["code"])

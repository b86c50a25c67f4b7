"""What tests do in one tenant, over plain HTTP; and charts to push."""

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import yaml
from tests.protocols.oci.client import CHART_LAYER, HELM_CONFIG, MANIFEST, Oci, descriptor
from tests.registry.conftest import package

PROVENANCE = "application/vnd.cncf.helm.chart.provenance.v1.prov"

_numbers = itertools.count(1)


def chart_file(
    name: str, version: str, *, files: Mapping[str, str] | None = None, level: int = 9, **fields: Any
) -> bytes:
    """A chart's .tgz; `fields` are more of Chart.yaml."""
    about = {"apiVersion": "v2", "name": name, "version": version, "description": "An app", **fields}
    content = {"Chart.yaml": yaml.safe_dump(about), "values.yaml": "a: 1\n", **(files or {})}
    return archive({f"{name}/{path}": text.encode() for path, text in content.items()}, level=level)


def hostile_chart(version: str) -> bytes:
    """A chart with what readers stumble over."""
    return chart_file(
        "app",
        version,
        appVersion="1.10",
        unknown={"key": [1]},
        kubeVersion=">=1.0",
        icon="data:image/svg+xml;base64," + "A" * 5000,
        home='javascript:alert("x")',
        description="<script>alert(1)</script>\x1b[31m red \u202e reversed\u2028line\x85",
        annotations={"a/b": "multi\nline\x7f", "long": "x" * 20_000, "k" * 1100: "v", "n": "1.10"},
        maintainers=[{"name": "A\x9b", "email": "a@example.com", "url": '"><script>'}],
        dependencies=[{"name": "dep", "version": "1.x", "repository": "https://example.com", "import-values": ["a"]}],
    )


def archive(files: Mapping[str, bytes], *, level: int = 9) -> bytes:
    return package(dict(files), level=level).data


def provenance(name: str, version: str, data: bytes, *, file: str = "", digest: str = "") -> bytes:
    """As `helm package --sign` writes it, with a signature that nobody made."""
    file = file or f"{name}-{version}.tgz"
    digest = digest or f"sha256:{hashlib.sha256(data).hexdigest()}"
    text = f"apiVersion: v2\nname: {name}\nversion: {version}\n\n...\nfiles:\n  {file}: {digest}\n"
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}"
        "-----BEGIN PGP SIGNATURE-----\n\nwsBc\n=abcd\n-----END PGP SIGNATURE-----"
    ).encode()


@dataclass(frozen=True)
class Tenant:
    """One tenant of a server; "" for charts of one component."""

    http: httpx.Client
    name: str
    context: str = "/helm"

    @classmethod
    def fresh(cls, http: httpx.Client) -> "Tenant":
        return cls(http, f"tenant{next(_numbers)}")

    def path(self, path: str) -> str:
        return "/".join(part for part in (self.context, self.name, path) if part)

    def api(self, path: str = "charts") -> str:
        return "/".join(part for part in (self.context, "api", self.name, path) if part)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.path(path), **options)

    def index(self) -> dict[str, Any]:
        answer = self.get("index.yaml")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def versions(self, name: str) -> list[str]:
        return [entry["version"] for entry in self.index()["entries"].get(name, [])]

    def push(self, data: bytes, query: str = "") -> httpx.Response:
        return self.http.post(self.api() + query, content=data)

    def push_form(self, query: str = "", **files: bytes) -> httpx.Response:
        return self.http.post(self.api() + query, files={name: (f"/tmp/{name}", data) for name, data in files.items()})

    def delete(self, name: str, version: str) -> httpx.Response:
        return self.http.delete(self.api(f"charts/{name}/{version}"))

    def oci(self, name: str) -> Oci:
        """The repository of a chart."""
        return Oci(self.http, f"{self.name}/{name}" if self.name else name)


def helm_push(oci: Oci, data: bytes, version: str, *, prov: bytes = b"", config: Any = None) -> httpx.Response:
    """Push a chart as helm does: layers in the order of their digests."""
    name = oci.name.rpartition("/")[2]
    about = json.dumps({"name": name, "version": version, "apiVersion": "v2"} if config is None else config).encode()
    layers = [(data, CHART_LAYER), *([(prov, PROVENANCE)] if prov else [])]
    for blob in (about, *(layer for layer, _ in layers)):
        oci.blob(blob)
    found = {
        "schemaVersion": 2,
        "config": descriptor(about, HELM_CONFIG),
        "layers": sorted((descriptor(*layer) for layer in layers), key=lambda each: str(each["digest"])),
        "annotations": {"org.opencontainers.image.created": "2026-01-01T00:00:00Z"},
    }
    return oci.put(version.replace("+", "_"), json.dumps(found).encode(), MANIFEST)

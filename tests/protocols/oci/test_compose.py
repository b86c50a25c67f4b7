"""Projects of `docker compose publish`: requests of its shape, and the package that the CNR API shows."""

import io
import json
import tarfile
from typing import Any

import httpx
import pytest
from tests.protocols.oci.client import EMPTY_TYPE, INDEX, MANIFEST, Oci, code, descriptor, digest
from tests.protocols.oci.test_cases_one_model import cnr, cnr_push, kpm, manifest_digest, releases

PROJECT = "application/vnd.docker.compose.project"
OLD_CONFIG = "application/vnd.docker.compose.config.empty.v1+json"
YAML, ENV = "application/vnd.docker.compose.file+yaml", "application/vnd.docker.compose.envfile"
COMPOSE = b"services:\n  web:\n    image: nginx\n"
OVERRIDE = b"services:\n  web:\n    ports: ['80']\n"
Files = list[tuple[str, bytes]]


def layer(name: str | None, data: bytes) -> dict[str, Any]:
    env = name is not None and name.endswith(".env")
    names = {} if name is None else {f"com.docker.compose.{'envfile' if env else 'file'}": name}
    notes = {"com.docker.compose.version": "v2.40.0", **names}
    return descriptor(data, ENV if env else YAML, annotations=notes)


def project(*files: tuple[str | None, bytes], old: bool = False, created: str = "2026-01-01T00:00:00Z") -> bytes:
    """The manifest that compose makes: of OCI 1.1, or of its fall-back to 1.0."""
    kind = {} if old else {"artifactType": PROJECT}
    found = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        **kind,
        "config": {**descriptor(b"{}", OLD_CONFIG if old else EMPTY_TYPE), "data": "e30="},
        "layers": [layer(name, data) for name, data in files],
        "annotations": {"org.opencontainers.image.created": created},
    }
    return json.dumps(found).encode()


def publish(oci: Oci, *files: tuple[str | None, bytes], tag: str = "1.0.0", **more: Any) -> httpx.Response:
    for blob in (b"{}", *(data for _, data in files)):
        oci.blob(blob)
    return oci.put(tag, project(*files, **more))


def unpacked(archive: bytes) -> Files:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
        return [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]


@pytest.mark.parametrize("old", [False, True], ids=["OCI 1.1", "OCI 1.0"])
def test_a_project_is_a_package(oci: Oci, old: bool) -> None:
    files: Files = [("compose.yaml", COMPOSE), ("override.yaml", OVERRIDE), ("0a1b.env", b"A=1\n")]
    assert publish(oci, *files, old=old).status_code == 201
    assert releases(oci) == {("1.0.0", "docker-compose")}
    shown = cnr(oci, "GET", "/1.0.0/docker-compose").json()["content"]
    archive = cnr(oci, "GET", "/1.0.0/docker-compose/pull").content
    assert (len(archive), unpacked(archive)) == (shown["size"], files)
    assert cnr(oci, "GET", f"/blobs/sha256/{shown['digest']}").content == archive
    assert oci.get("manifests/1.0.0").content == project(*files, old=old)
    found = oci.http.get("/cnr/api/v1/search", params={"q": "web"}).json()
    assert oci.name in {item["name"] for item in found}, "services are keywords"


def test_the_archive_is_made_once_and_is_in_use(oci: Oci) -> None:
    assert publish(oci, ("compose.yaml", COMPOSE)).status_code == 201
    shown = cnr(oci, "GET", "/1.0.0/docker-compose").text
    archive = cnr(oci, "GET", "/1.0.0/docker-compose/pull").content
    assert publish(oci, ("compose.yaml", COMPOSE), created="2026-02-02T00:00:00Z").status_code == 201
    assert publish(oci, ("compose.yaml", COMPOSE), tag="2.0.0").status_code == 201
    assert cnr(oci, "GET", "/1.0.0/docker-compose").text == shown
    assert cnr(oci, "GET", "/2.0.0/docker-compose/pull").content == archive
    made = digest(archive)
    assert oci.call("DELETE", f"blobs/{made}").status_code == 405
    for tag in ("1.0.0", "2.0.0"):
        assert oci.call("DELETE", f"manifests/{tag}").status_code == 202
    assert oci.call("DELETE", f"blobs/{made}").status_code == 202
    assert publish(oci, ("compose.yaml", COMPOSE)).status_code == 201
    assert unpacked(cnr(oci, "GET", "/1.0.0/docker-compose/pull").content) == [("compose.yaml", COMPOSE)]


def test_a_project_is_immutable(oci: Oci) -> None:
    assert publish(oci, ("compose.yaml", COMPOSE)).status_code == 201
    before = manifest_digest(oci, "1.0.0")
    answer = publish(oci, ("compose.yaml", OVERRIDE))
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert cnr_push(oci, "1.0.0", kpm(), "docker-compose").status_code == 409
    assert manifest_digest(oci, "1.0.0") == before
    assert publish(oci, ("compose.yaml", COMPOSE), tag="stable").status_code == 201
    found = cnr(oci, "GET", "/channels/stable").json()
    assert (found["current"], found["releases"]) == ("1.0.0", ["1.0.0"])


def test_a_project_in_an_index(oci: Oci) -> None:
    oci.blob(COMPOSE)
    oci.blob(b"{}")
    data = project(("compose.yaml", COMPOSE))
    assert oci.put(digest(data), data).status_code == 201
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(data, MANIFEST)]}
    assert oci.put("1.0.0", json.dumps(index).encode(), INDEX).status_code == 201
    assert unpacked(cnr(oci, "GET", "/1.0.0/docker-compose/pull").content) == [("compose.yaml", COMPOSE)]


HOSTILE: dict[str, list[tuple[str | None, bytes]]] = {
    "up": [("../compose.yaml", COMPOSE)],
    "parent": [("..", COMPOSE)],
    "absolute": [("/etc/passwd", COMPOSE)],
    "windows": [("a\\b.yaml", COMPOSE)],
    "drive": [("c:x.yaml", COMPOSE)],
    "device": [("CON.yaml", COMPOSE)],
    "control": [("a\nb.yaml", COMPOSE)],
    "escape": [("\x1b[31m.yaml", COMPOSE)],
    "nul": [("a\0.yaml", COMPOSE)],
    "bidi": [("a\u202eb.yaml", COMPOSE)],
    "long": [("a" * 252 + ".yaml", COMPOSE)],
    "empty": [("", COMPOSE)],
    "without": [(None, COMPOSE)],
    "twice": [("compose.yaml", COMPOSE), ("compose.yaml", OVERRIDE)],
    "one name": [("compose.yaml", COMPOSE), ("Compose.yaml", OVERRIDE)],
    "nothing": [],
    "many": [(f"{number}.yaml", COMPOSE) for number in range(257)],
    "large": [("compose.yaml", b"# " + b"a" * 4 * 1024 * 1024)],
}


@pytest.mark.parametrize("files", HOSTILE.values(), ids=HOSTILE)
def test_what_no_safe_archive_can_be_made_of_is_no_package(oci: Oci, files: list[tuple[str | None, bytes]]) -> None:
    assert publish(oci, *files).status_code == 201
    assert cnr(oci, "GET").status_code == 404
    assert oci.get("manifests/1.0.0").content == project(*files)
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 409


@pytest.mark.parametrize("size", [-1, 1, 10**18, len(COMPOSE) + 1])
def test_a_size_that_is_not_true(oci: Oci, size: int) -> None:
    for blob in (b"{}", COMPOSE):
        oci.blob(blob)
    found = json.loads(project(("compose.yaml", COMPOSE)))
    found["layers"][0]["size"] = size
    assert oci.put("1.0.0", json.dumps(found).encode()).status_code in (201, 400)
    assert cnr(oci, "GET").status_code == 404


def test_a_bomb_of_zeros(oci: Oci) -> None:
    files = [(f"{number}.yaml", bytes(1024 * 1024)) for number in range(4)]
    assert publish(oci, *files).status_code == 201
    assert cnr(oci, "GET").status_code == 404, "it would be refused as a push, too"

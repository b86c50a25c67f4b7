"""A full disk: every protocol refuses with 507 and stores nothing of it, reads go on, and lines of the log wait."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.packages import b64
from tests.protocols.cnr.server import Server
from tests.protocols.cnr.test_catalogue import small_disk
from tests.protocols.oci.client import MANIFEST, Oci, chart_archive, digest, image
from tests.services.storage import needs_files

Write = Callable[[Oci, bytes], httpx.Response]
MIB = 1 << 20
LARGE = 300_000
"""Bytes of a file of its own; smaller blobs are in their records."""


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on a disk that uploads have filled to the last byte."""
    folder = tmp_path_factory.mktemp("full")
    store = folder / "store"
    store.mkdir()
    if subprocess.run([*small_disk(store), "true"], capture_output=True, check=False).returncode:
        pytest.skip("a file system of one's own needs user namespaces")
    server = Server(folder, wrapper=small_disk(store))
    try:
        server.start()
        with httpx.Client(base_url=server.url, timeout=60) as http:
            prepare(Oci(http, "shop/app"))
        yield server
    finally:
        server.kill()


def prepare(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    oci.blob(b"{}")
    upload = oci.begin()
    for size in (MIB, 64 * 1024, 4096, 1):
        while (answer := oci.http.patch(upload, content=os.urandom(size))).status_code == 202:
            upload = answer.headers["location"]
    assert answer.status_code == 507, answer.text
    for number in range(20_000):  # and the records' own file
        answer = oci.put(f"fill{number}", image(config=b"{}", annotations={"n": os.urandom(2000).hex()}))
        if answer.status_code != 201:
            break
    assert answer.status_code == 507, answer.text


def patch(oci: Oci, data: bytes) -> httpx.Response:
    begun = oci.call("POST", "blobs/uploads/")
    return oci.http.patch(begun.headers["location"], content=data) if begun.status_code == 202 else begun


def finish(oci: Oci, data: bytes) -> httpx.Response:
    begun = oci.call("POST", "blobs/uploads/")
    if begun.status_code != 202:
        return begun
    return oci.http.put(begun.headers["location"], params={"digest": digest(data)}, content=data)


def at_once(oci: Oci, data: bytes) -> httpx.Response:
    return oci.call("POST", "blobs/uploads/", params={"digest": digest(data)}, content=data)


def manifest(oci: Oci, data: bytes) -> httpx.Response:
    return oci.put("new", image(config=b"{}", annotations={"n": data[:60_000].hex()}), MANIFEST)


def archive(data: bytes) -> bytes:
    return chart_archive("app", "2.0.0", extra=data, level=0)


def cnr(oci: Oci, data: bytes) -> httpx.Response:
    body = {"blob": b64(archive(data)), "release": "2.0.0", "media_type": "helm"}
    return oci.http.post("/api/v1/packages/shop/app", json=body)


def chartmuseum(oci: Oci, data: bytes) -> httpx.Response:
    return oci.http.post("/helm/api/shop/charts", content=archive(data))


def form(oci: Oci, data: bytes) -> httpx.Response:
    return oci.http.post("/helm/api/shop/charts", files={"chart": ("app-2.0.0.tgz", archive(data))})


WRITES: list[Write] = [patch, finish, at_once, manifest, cnr, chartmuseum, form]


@needs_files
@pytest.mark.parametrize("size", [10_000, LARGE], ids=["record", "file"])
@pytest.mark.parametrize("write", WRITES)
def test_a_write(full: Server, write: Write, size: int) -> None:
    with httpx.Client(base_url=full.url, timeout=60) as http:
        oci = Oci(http, "shop/app")
        before, data = oci.tags(), os.urandom(size)
        answer = write(oci, data)
        assert answer.status_code == 507, answer.text
        body = answer.json()
        if write in (chartmuseum, form):
            assert isinstance(body["error"], str)
        elif write is cnr:
            assert body["error"]["code"] == "insufficient-storage"
        else:
            assert body["errors"][0]["code"] == "UNAVAILABLE"
        assert oci.tags() == before
        assert oci.get(f"blobs/{digest(data)}").status_code == 404
        assert http.get("/api/v1/packages/shop/app/2.0.0/helm").status_code == 404


@needs_files
@pytest.mark.parametrize(
    "path",
    [
        "/v2/shop/app/manifests/1.0.0",
        "/v2/shop/app/tags/list",
        "/v2/_catalog",
        "/api/v1/packages",
        "/api/v1/packages/shop/app/1.0.0/helm",
        "/api/v1/packages/shop/app/1.0.0/helm/pull",
        "/api/v1/search?q=app",
        "/helm/shop/index.yaml",
        "/helm/shop/charts/app-1.0.0.tgz",
        "/readyz",
    ],
)
def test_a_read_goes_on(full: Server, path: str) -> None:
    with httpx.Client(base_url=full.url, timeout=60) as http:
        answer = http.get(path)
        assert answer.status_code == 200, answer.text
        assert answer.content


@needs_files
def test_the_log_of_changes_is_an_error_once(full: Server) -> None:
    said = full.output()
    assert said.count("the audit log cannot be written") == 1
    assert "Traceback" not in said


@needs_files
def test_nothing_is_left_in_the_spool(full: Server) -> None:
    assert list(Path(f"/proc/{full.process.pid}/root{full.store}/spool").glob("*")) == []

"""Quotas and open uploads over real HTTP: each protocol says what the limit is and how much of it is used."""

import base64
from collections.abc import Iterator

import httpx
import pytest
from click.testing import CliRunner
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import chart_file
from tests.protocols.oci.client import Oci, chart_archive, code, image

from cnr.cli.main import cli


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {"CNR_MAX_UPLOADS_PER_REPOSITORY": "5", "CNR_MAX_BLOB": "1MiB", "CNR_MAX_MANIFEST": "64KiB"}
    server = Server(tmp_path_factory.mktemp("quotas"), entry="serve", workers=2, env=env)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def set_rules(server: Server, path: str, *options: str) -> None:
    """As an operator does, beside the running server."""
    done = CliRunner().invoke(cli, ["namespace", "set", path, *options, "--database-url", str(server.store)])
    assert done.exit_code == 0, done.output


def cnr_push(http: httpx.Client, package: str, release: str) -> httpx.Response:
    blob = base64.b64encode(chart_archive(package.partition("/")[2], release)).decode()
    fields = {"release": release, "media_type": "helm", "blob": blob}
    return http.post(f"/cnr/api/v1/packages/{package}", json=fields)


def helm_push(http: httpx.Client, namespace: str, name: str, version: str) -> httpx.Response:
    return http.post(f"/helm/api/{namespace}/charts", content=chart_file(name, version))


def test_tags(server: Server, http: httpx.Client) -> None:
    oci = Oci(http, "tags/img")
    manifest = oci.image("one", b"layer")
    set_rules(server, "tags", "--max-tags", "1")
    refusal = oci.put("two", manifest)
    assert (refusal.status_code, code(refusal)) == (403, "DENIED")
    assert "tags may have 1 tags and has 1" in refusal.text
    assert refusal.json()["errors"][0]["detail"] == {"path": "tags", "what": "tags", "limit": 1, "used": 1}
    refusal = cnr_push(http, "tags/app", "1.0.0")
    assert (refusal.status_code, refusal.json()["error"]["code"]) == (403, "forbidden")
    assert refusal.json()["error"]["details"]["limit"] == 1
    refusal = helm_push(http, "tags", "app", "1.0.0")
    assert (refusal.status_code, set(refusal.json())) == (403, {"error"})
    assert "tags may have 1 tags" in refusal.json()["error"]
    assert oci.put("one", manifest).status_code == 201
    assert oci.call("DELETE", "manifests/one").status_code == 202
    assert cnr_push(http, "tags/app", "1.0.0").status_code == 200
    set_rules(server, "tags", "--unset", "max-tags")
    assert helm_push(http, "tags", "other", "1.0.0").status_code == 201


def test_bytes(server: Server, http: httpx.Client) -> None:
    oci = Oci(http, "full/img")
    oci.image("one", b"layer")
    source = Oci(http, "source/img")
    big = source.blob(b"z" * 20_000)
    upload = oci.begin()
    set_rules(server, "full", "--max-bytes", "10")
    data = b"y" * 1000
    refusal = http.put(upload, params={"digest": "sha256:" + "0" * 64}, content=data)
    assert (refusal.status_code, code(refusal)) == (403, "DENIED")
    assert "full may have 10 bytes" in refusal.text
    refusal = oci.call("POST", "blobs/uploads/", params={"mount": big, "from": "source/img"})
    assert refusal.status_code == 403
    assert oci.put("two", image(b"layer", annotations={"x": "y" * 1000})).status_code == 403
    assert cnr_push(http, "full/img", "1.0.0").status_code == 403
    assert helm_push(http, "full", "app", "1.0.0").status_code == 403
    set_rules(server, "full", "--max-bytes", "1MiB")
    assert oci.call("POST", "blobs/uploads/", params={"mount": big, "from": "source/img"}).status_code == 201
    assert helm_push(http, "full", "app", "1.0.0").status_code == 201


def test_open_uploads(http: httpx.Client) -> None:
    oci = Oci(http, "many/uploads")
    found = [oci.call("POST", "blobs/uploads/") for _ in range(40)]
    refused = [answer for answer in found if answer.status_code == 429]
    assert refused
    assert (code(refused[0]), refused[0].headers["retry-after"]) == ("TOOMANYREQUESTS", "10")
    assert len(found) - len(refused) <= 10  # soft: each worker counts what the others do later
    assert oci.another().call("POST", "blobs/uploads/").status_code == 202


@pytest.mark.parametrize("length", [True, False])
def test_a_blob_and_a_manifest_beyond_their_limits(length: bool, http: httpx.Client) -> None:
    oci = Oci.fresh(http, namespace=f"large{length}".lower())
    data = b"x" * ((1 << 20) + 1)
    refusal = http.patch(oci.begin(), content=data if length else iter([data]))
    assert (refusal.status_code, code(refusal)) == (413, "SIZE_INVALID")
    assert oci.put("one", b"{" + b" " * 65536).status_code == 413
    assert oci.blob(data[:-1])

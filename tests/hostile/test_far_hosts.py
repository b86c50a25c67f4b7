"""Row "SSRF, credential leak": whatever a document or a header names, the server asks nobody for anything."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tests.protocols.auth.test_hostile_tokens import parts, signed
from tests.protocols.auth.world import PRIVATE, World, basic, bearer
from tests.protocols.cnr.client import Cnr, done, exchange
from tests.protocols.helm.client import Tenant, chart_file, helm_push
from tests.protocols.oci.client import INDEX, MANIFEST, Oci, descriptor, image


@pytest.fixture
def far() -> Iterator[str]:
    """HOST:PORT of somebody whom nobody may ask: that would be seen."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.settimeout(0.2)
        with pytest.raises(TimeoutError):
            listener.accept()


FOREIGN = (
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
)


@pytest.mark.parametrize("media_type", FOREIGN)
def test_a_layer_that_lies_elsewhere_is_not_fetched(http: httpx.Client, far: str, media_type: str) -> None:
    """CVE-2020-15157: kept as it was pushed, for the client; its bytes are not here."""
    oci = Oci.fresh(http, namespace="far")
    oci.blob(b"{}")
    urls = [f"http://{far}/layer", "file:///etc/passwd", "gopher://x"]
    layer = {**descriptor(b"elsewhere", media_type), "urls": urls}
    data = image(layers=[layer])
    assert oci.put("v1", data).status_code == 201
    assert oci.get("manifests/v1").content == data
    answer = oci.get(f"blobs/{layer['digest']}")
    assert answer.status_code == 404
    assert "location" not in answer.headers
    assert http.get(f"/v2/{oci.name}/referrers/{descriptor(data, MANIFEST)['digest']}").status_code == 200


def test_addresses_in_any_document_are_text(http: httpx.Client, far: str) -> None:
    oci, tenant, cnr = Oci.fresh(http, namespace="far"), Tenant.fresh(http), Cnr(http, "")
    oci.blob(b"{}")
    child = image(annotations={"org.opencontainers.image.source": f"http://{far}/"})
    assert oci.put("one", child).status_code == 201
    entry = {**descriptor(child, MANIFEST), "urls": [f"http://{far}/child"]}
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    assert oci.put("two", index, INDEX).status_code == 201
    about: dict[str, Any] = {name: f"http://{far}/{name}" for name in ("icon", "home")}
    dependency = {"name": "dep", "version": "1", "repository": f"http://{far}/charts"}
    schema = json.dumps({"$ref": f"http://{far}/schema.json"})
    about |= {"sources": [f"http://{far}/"], "dependencies": [dependency]}
    about["maintainers"] = [{"name": "a", "url": f"http://{far}"}]
    files = {"values.schema.json": schema, "templates/a.yaml": "kind: A"}
    data = chart_file("app", "1.0.0", files=files, **about)
    assert tenant.push(data).status_code == 201
    assert helm_push(tenant.oci("other"), chart_file("other", "1.0.0", **about), "1.0.0").status_code == 201
    done(cnr.push(f"{tenant.name}/pushed", blob=data, metadata={"url": f"http://{far}/"}))
    [first] = tenant.index()["entries"]["app"]
    assert first["urls"] == ["charts/app-1.0.0.tgz"]  # never another host's: CVE-2021-32690
    for part in ("templates", "values"):
        assert tenant.http.get(tenant.api(f"charts/app/1.0.0/{part}")).status_code == 200


HEADERS = (
    *("X-Forwarded-Host", "Forwarded", "X-Original-Url", "X-Rewrite-Url", "Referer", "Origin", "X-Forwarded-For"),
    "Via",
)


def test_addresses_in_headers_and_queries_are_text(http: httpx.Client, far: str) -> None:
    oci = Oci.fresh(http, namespace="far")
    assert oci.chart("1.0.0").status_code == 201
    queries = ("from", "mount", "url", "next", "callback", "realm", "service", "urls", "redirect")
    for path in ("/", "/v2/", "/token", "/cnr/api/v1/packages", "/helm/far/index.json", f"/v2/{oci.name}/tags/list"):
        for name in queries:
            answer = http.get(path, params={name: f"http://{far}/"})
            assert answer.status_code in (200, 400, 404)
        answer = http.get(path, headers=dict.fromkeys(HEADERS, f"http://{far}/"))
        assert answer.status_code in (200, 404)
    assert oci.call("POST", "blobs/uploads/", params={"mount": f"http://{far}/", "from": far}).status_code == 400
    assert exchange(http.base_url, "GET", f"http://{far}/v2/", {}, b"").status_code in (200, 400, 404)


def test_a_token_s_key_is_not_fetched(world: World, far: str) -> None:
    """CVE-2025-24976 and its like: `jku` and `x5u` are not believed, and not asked."""
    header, claims = parts(world.token(basic("rita"), f"repository:{PRIVATE}:pull"))
    with world.http() as http:
        for name in ("jku", "x5u", "kid", "iss"):
            token = signed({**header, name: f"http://{far}/keys"}, {**claims, name: f"http://{far}/"}, b"k" * 32)
            assert http.get(f"/v2/{PRIVATE}/tags/list", headers=bearer(token)).status_code == 401


HOSTS = (
    *('evil"><script>', "evil.example/../x", "evil b", "evil.example#", "evil@127.0.0.1", "127.0.0.1:99999999", "[::1"),
    "evil\xe9",
)
PATHS = ("/", "/docs", "/v2/", "/v2/_catalog", "/v2/a/b/tags/list", "/token", "/helm/far/index.json?urls=oci")


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_none_is_in_no_answer(http: httpx.Client, world: World, host: str) -> None:
    """Where the header Host gets into answers: the discovery page, the realm, addresses of an index."""
    for url in (http.base_url, httpx.URL(world.server.url)):
        for path in PATHS:
            answer = exchange(url, "GET", path, {"Host": host}, b"")
            assert answer.status_code in (200, 400, 401, 404)
            shown = str(answer.headers) + answer.content.decode()
            assert host not in shown
            assert "evil" not in shown
    answer = exchange(http.base_url, "POST", "/v2/far/host/blobs/uploads/", {"Host": host}, b"")
    assert answer.status_code in (202, 400)
    assert answer.status_code == 400 or answer.headers["location"].startswith("/v2/far/host/blobs/uploads/")

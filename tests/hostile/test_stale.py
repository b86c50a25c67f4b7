"""Rows "stale cache restores access" and "create vs update / delete flags", on what the other tests leave out."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.protocols.auth.world import PRIVATE, World, basic
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file, helm_push

from cnr.auth.access_control import AccessControl
from cnr.registry.registry import Registry
from cnr.store.records import PolicyRecord


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two servers over one store."""
    with ExitStack() as stack:
        clients = []
        for _ in range(2):
            server = Server(tmp_path, entry="serve")
            server.launch()
            stack.callback(server.kill)
            clients.append(stack.enter_context(httpx.Client(base_url=server.wait().url, timeout=60)))
        yield clients[0], clients[1]


@pytest.mark.parametrize("protocol", ["ChartMuseum", "CNR", "OCI"])
def test_what_was_deleted_is_in_no_index_and_no_file(pair: tuple[httpx.Client, httpx.Client], protocol: str) -> None:
    """Deleted at one server by any protocol; the other has just served it by all, also compressed and conditionally."""
    one, two = (Tenant(http, "stale") for http in pair)
    data = chart_file("app", "1.0.0", description="x" * 30_000)
    assert one.push(data).status_code == 201
    pulled = f"/cnr/api/v1/packages/{two.name}/app/1.0.0/helm/pull"
    tags = {}
    for coding in ("identity", "gzip", "zstd"):
        answer = two.get("index.yaml", headers={"accept-encoding": coding})
        assert list(answer.json()["entries"]) == ["app"] if coding != "zstd" else answer.status_code == 200
        tags[coding] = answer.headers["etag"]
    for _ in range(2):
        assert two.get("charts/app-1.0.0.tgz").content == two.http.get(pulled).content == data
    etag = two.get("charts/app-1.0.0.tgz").headers["etag"]
    if protocol == "ChartMuseum":
        assert one.delete("app", "1.0.0").status_code == 200
    elif protocol == "CNR":
        done(Cnr(one.http, "").delete("/stale/app/1.0.0/helm"))
    else:
        assert one.oci("app").call("DELETE", "manifests/1.0.0").status_code == 202
    for tenant in (two, one):
        for coding, tag in tags.items():
            headers = {"accept-encoding": coding, "if-none-match": tag}
            assert tenant.get("index.yaml", headers=headers).status_code == 200
        assert tenant.index()["entries"] == {}
        for headers in ({}, {"if-none-match": etag}, {"range": "bytes=0-9"}):
            assert tenant.get("charts/app-1.0.0.tgz", headers=headers).status_code == 404
            assert tenant.http.get(pulled, headers=headers).status_code == 404
        assert tenant.http.get(tenant.api("charts/app/1.0.0")).status_code == 404
        assert tenant.http.get(tenant.api("charts/app")).status_code == 404


def _visible(world: World, path: str, visibility: str) -> None:
    async def change(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change(path, lambda _: PolicyRecord(visibility=visibility))  # type: ignore[arg-type]

    world.on_store(change)


def test_what_becomes_private_shows_nowhere(world: World) -> None:
    """Another namespace's index, files, lists, searches and etags: nothing of it for who has no right."""
    tenant_name = "switch"
    data = chart_file("app", "1.0.0", description="switched")
    with world.http(**basic("root")) as root, world.http() as anybody, world.http(**basic("otto")) as other:
        assert Tenant(root, tenant_name).push(data).status_code == 201
        _visible(world, tenant_name, "public")
        paths = (
            *(f"/helm/{tenant_name}/index.yaml", f"/helm/{tenant_name}/charts/app-1.0.0.tgz"),
            *(f"/helm/api/{tenant_name}/charts", f"/helm/api/{tenant_name}/charts/app/1.0.0"),
            *(f"/cnr/api/v1/packages/{tenant_name}/app/1.0.0/helm/pull", "/cnr/api/v1/packages?query=app"),
            *(
                "/api/v1/search?q=switched",
                f"/v2/{tenant_name}/app/manifests/1.0.0",
                f"/v2/{tenant_name}/app/tags/list",
            ),
        )
        tags = {}
        for path in paths:
            for _ in range(3):
                answer = anybody.get(path)
                assert answer.status_code == 200, path
            tags[path] = answer.headers.get("etag", '"x"')
        _visible(world, tenant_name, "private")
        for path in paths:
            for http in (anybody, other):
                for headers in ({}, {"if-none-match": tags[path]}):
                    answer = http.get(path, headers=headers)
                    assert answer.status_code in (200, 401, 403, 404), path
                    assert "switched" not in answer.text
                    assert "1.0.0" not in answer.text or "package" not in answer.text
                    assert data not in answer.content
            assert root.get(path).status_code == 200


FORCES = ("?force", "?force=true", "?force=1", "?force=&force=true", "?FORCE=true", "?overwrite=true")


def test_no_flag_passes_a_strict_rule(world: World) -> None:
    """CVE-2026-31801: no spelling of force on any protocol replaces a `strict` release, and no delete frees it."""

    async def strict(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change("strict", lambda _: PolicyRecord(immutability="strict"))

    world.on_store(strict)
    with world.http(**basic("root")) as http:
        tenant, cnr = Tenant(http, "strict"), Cnr(http, "/cnr")
        first = chart_file("app", "1.0.0")
        assert tenant.push(first).status_code == 201
        for number, query in enumerate(("", *FORCES)):
            other = chart_file("app", "1.0.0", description=f"other {number}")
            assert tenant.push(other, query).status_code == 409
            assert tenant.push_form(query, chart=other).status_code == 409
            for fields in ({}, {"force": True}, {"force": "true"}, {"force": 1}):
                assert cnr.push("strict/app", blob=other, query=query, **fields).status_code in (400, 409)
            assert helm_push(tenant.oci("app"), other, "1.0.0").status_code == 403
        answer = cnr.post("/strict/app/channels/1.0.0/1.0.0")
        assert answer.status_code in (400, 409)
        assert tenant.delete("app", "1.0.0").status_code == 200
        assert tenant.push(chart_file("app", "1.0.0", description="later"), "?force").status_code == 409
        assert tenant.push(first).status_code == 201
        assert tenant.get("charts/app-1.0.0.tgz").content == first


def test_who_may_push_may_not_delete(world: World) -> None:
    """CVE-2026-41888: by tag, by digest, by chart, by format, by channel."""
    with world.http(**basic("will")) as http, world.http(**basic("root")) as root:
        name = root.get(f"/v2/{PRIVATE}/manifests/1.0.0").headers["docker-content-digest"]
        for path in (
            *(f"/v2/{PRIVATE}/manifests/1.0.0", f"/v2/{PRIVATE}/manifests/{name}", "/helm/api/team/charts/app/1.0.0"),
            f"/cnr/api/v1/packages/{PRIVATE}/1.0.0/helm",
        ):
            assert http.delete(path).status_code == 403, path
        assert root.get(f"/v2/{PRIVATE}/manifests/1.0.0").status_code == 200

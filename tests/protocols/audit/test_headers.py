"""What answers tell browsers, on every route."""

import json

import httpx
import pytest
from tests.protocols.auth.test_matrix import NEEDS, harmless, paths
from tests.protocols.auth.world import PRIVATE, PUBLIC, World
from tests.protocols.oci.client import digest

OPEN = ("/api/", "/docs", "/openapi.json", "/version", "/routes", "/test_error", "/healthz", "/readyz", "/cnr")
ORIGIN = {"Origin": "https://elsewhere.example"}
FILES = (f"/api/v1/packages/{PUBLIC}/1.0.0/helm/pull", f"/helm/{PUBLIC.split('/')[0]}/charts/app-1.0.0.tgz")


def opened(path: str) -> bool:
    """Whether pages of other sites may read it."""
    closed = path.removeprefix("/cnr").startswith("/api/v1/admin")
    return not closed and (path == "/" or path.startswith((*OPEN, "/helm/api/")))


@pytest.mark.parametrize(("method", "path"), list(NEEDS))
@pytest.mark.parametrize("who", ["anonymous", "admin"])
def test_a_route(world: World, method: str, path: str, who: str) -> None:
    with world.http(**world.headers[who]) as http:
        for address in paths(harmless(method, path), PRIVATE):
            answer = http.request(method, address, headers=ORIGIN if method == "GET" else {})
            assert answer.headers.get_list("x-content-type-options") == ["nosniff"]
            assert answer.headers.get("access-control-allow-origin") == ("*" if opened(address) else None)
            assert "access-control-allow-credentials" not in answer.headers
            kept = answer.headers.get("cache-control", "")
            if who == "admin" and answer.status_code < 400 and NEEDS[method, path] != "public":
                assert kept.startswith(("private", "no-store", "no-cache")), f"{method} {address}: {kept}"
            if "html" in answer.headers.get("content-type", ""):
                assert answer.headers["x-frame-options"] == "DENY"
                assert answer.headers["referrer-policy"] == "no-referrer"
                policy = answer.headers["content-security-policy"]
                assert policy.startswith("default-src 'none'")
                assert policy.endswith("frame-ancestors 'none'")


@pytest.mark.parametrize("path", ["/api/v1/packages", "/helm/api/team/charts"])
def test_a_preflight_allows_to_read(world: World, path: str) -> None:
    with world.http() as http:
        asked = {"Access-Control-Request-Method": "DELETE", "Access-Control-Request-Headers": "authorization"}
        answer = http.options(path, headers=ORIGIN | asked)
        assert answer.status_code == 200
        assert "GET" in answer.headers["allow"]
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
        assert "Authorization" in answer.headers["access-control-allow-headers"]


@pytest.mark.parametrize("path", ["/v2/", "/token", "/v2/team/app/tags/list", "/helm/team/index.yaml"])
def test_a_preflight_elsewhere_allows_nothing(world: World, path: str) -> None:
    with world.http() as http:
        answer = http.options(path, headers=ORIGIN | {"Access-Control-Request-Method": "GET"})
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", FILES)
def test_a_strangers_file_opened_as_a_page_does_nothing(world: World, path: str) -> None:
    with world.http() as http:
        check_sandboxed(http.get(path))


def test_so_does_a_blob(world: World) -> None:
    page = b"<script>alert(1)</script>"
    with world.http(**world.headers["admin"]) as http:
        http.post(f"/v2/{PUBLIC}/blobs/uploads/", params={"digest": digest(page)}, content=page).raise_for_status()
        check_sandboxed(http.get(f"/v2/{PUBLIC}/blobs/{digest(page)}"))


def check_sandboxed(answer: httpx.Response) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "html" not in answer.headers["content-type"]


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}])
def test_a_page_of_another_site_changes_nothing(world: World, headers: dict[str, str]) -> None:
    with world.http(**world.headers["admin"]) as http:
        answer = http.delete(f"/api/v1/packages/{PRIVATE}/1.0.0/helm", headers=headers)
        assert answer.status_code == 403
        assert json.loads(answer.content)["error"]["code"] == "forbidden"

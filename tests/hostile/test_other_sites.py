"""Pages of other sites, in the browser of somebody who may do much. Rows "open redirect / CSRF / CORS" and "XSS"."""

from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.auth.world import PRIVATE, World, basic
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file
from tests.protocols.oci.client import Oci

CHANGES = {
    "CNR push": ("POST", "/cnr/api/v1/packages/{path}"),
    "CNR channel": ("POST", "/api/v1/packages/{path}/channels/stable/1.0.0"),
    "CNR yank": ("POST", "/api/v1/packages/{path}/1.0.0/yank"),
    "CNR delete": ("DELETE", "/api/v1/packages/{path}/1.0.0/helm"),
    "OCI upload": ("POST", "/v2/{path}/blobs/uploads/"),
    "OCI delete": ("DELETE", "/v2/{path}/manifests/1.0.0"),
    "ChartMuseum push": ("POST", "/helm/api/{namespace}/charts"),
    "ChartMuseum provenance": ("POST", "/helm/api/{namespace}/prov"),
    "ChartMuseum delete": ("DELETE", "/helm/api/{path_}/1.0.0"),
}
ELSEWHERE = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://["},
    {"Origin": "//"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "x", "Origin": "http://127.0.0.1"},
)


def address(path: str, repository: str) -> str:
    namespace, _, name = repository.partition("/")
    return path.format(path=repository, namespace=namespace, path_=f"{namespace}/charts/{name}")


@pytest.fixture(params=["open", "with accounts"])
def at(request: pytest.FixtureRequest) -> Iterator[tuple[httpx.Client, str]]:
    """A server, as its owner's browser talks to it, and a package on it."""
    if request.param == "open":
        server: Server = request.getfixturevalue("server")
        with httpx.Client(base_url=server.url) as http:
            oci = Oci.fresh(http, namespace="sites")
            assert oci.chart("1.0.0").status_code == 201
            yield http, oci.name
    else:
        world: World = request.getfixturevalue("world")
        with world.http(**basic("root")) as http:
            yield http, PRIVATE


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
@pytest.mark.parametrize(("method", "path"), CHANGES.values(), ids=CHANGES.keys())
def test_they_change_nothing(at: tuple[httpx.Client, str], method: str, path: str, headers: dict[str, str]) -> None:
    http, repository = at
    body = chart_file("evil", "1.0.0") if "charts" in path and method == "POST" else b"{}"
    answer = http.request(method, address(path, repository), content=body, headers=headers)
    assert answer.status_code == 403, answer.text
    assert "a page of another site may not change anything here" in answer.text
    assert http.get(f"/v2/{repository}/manifests/1.0.0").status_code == 200
    assert Oci(http, repository).tags() == ["1.0.0"]
    assert http.get(f"/helm/{repository.partition('/')[0]}/charts/evil-1.0.0.tgz").status_code == 404


def test_a_page_of_the_server_s_own_may(http: httpx.Client, server: Server) -> None:
    tenant = Tenant.fresh(http)
    own = ({"Origin": server.url}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"})
    for number, headers in enumerate(own):
        answer = http.post(tenant.api(), content=chart_file("own", f"1.0.{number}"), headers=headers)
        assert answer.status_code == 201, answer.text


READS = (
    "/",
    "/cnr/api/v1/packages",
    "/v2/_catalog",
    "/helm/sites/index.yaml",
    "/helm/api/sites/charts",
    "/docs",
    "/token",
)


@pytest.mark.parametrize("path", READS)
def test_no_answer_lets_them_use_a_password(world: World, path: str) -> None:
    """A wildcard lets other pages read what is public, and never with what the browser remembers."""
    with world.http() as http:
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "http://evil.example", **basic("root")}):
            for method in ("GET", "OPTIONS"):
                answer = http.request(method, path, headers={**headers, "Access-Control-Request-Method": "DELETE"})
                assert "access-control-allow-credentials" not in answer.headers
                assert answer.headers.get("access-control-allow-origin", "*") == "*"
                assert "evil" not in str(answer.headers)


AWAY = ("//evil.example", "https://evil.example", "/\\evil.example", "%2f%2fevil.example", "javascript:alert(1)")


@pytest.mark.parametrize("there", AWAY)
def test_nothing_leads_away(http: httpx.Client, there: str) -> None:
    """No address takes one to go on to, and none redirects to another host."""
    pages = ("/", "/docs", "/cnr", "/helm", "/token", "/v2", "/api/v1/packages", "/v2/_catalog")
    paths = [f"{page}?{name}={there}" for page in pages for name in ("next", "url", "return_to", "redirect")]
    for path in (*paths, f"/{there}", f"//{there}", f"/cnr/{there}", f"/helm/{there}", f"/helm/{there}/index.yaml"):
        answer = http.send(
            httpx.Request("GET", http.base_url.copy_with(raw_path=path.encode())), follow_redirects=False
        )
        assert "location" not in answer.headers
        assert not answer.is_redirect

"""Every route, asked by everybody, about what is public, private and missing.

The rows say what a route needs, independently of the route table: a route without a row fails, and so does one
that asks for another right than its row. Source: shared design, "missing authorisation on one of several paths".
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import httpx
import pytest
from tests.protocols.auth.world import PLACES, PRIVATE, World
from tests.protocols.oci.client import digest

from cnr.api import cnr, helm, oci
from cnr.api.cnr_fields import FieldReader
from cnr.api.cnr_site import Site
from cnr.auth.authority import OpenAuthority
from cnr.http.adapter import Adapter
from cnr.http.fields import BodyLimits
from cnr.http.routes import Route

P = "/api/v1/packages"
A = "/api/v1/admin"
PACKAGE = P + "/{namespace}/{name}"
FILE = PACKAGE + "/{release}/{media_type}"
BLOBS = "/v2/{name}/blobs/"

CHARTS = "/helm/api/{tenant}/charts"
CHANNELS, FORMS = ("", "/channels/{channel}"), ("yaml", "json")

NEEDS: Mapping[tuple[str, str], str] = {
    **{("GET", path): "public" for path in ("/", "/version", "/routes", "/test_error", "/healthz", "/readyz")},
    **{("GET", path): "public" for path in ("/docs", "/openapi.json")},
    ("POST", "/api/v1/users/login"): "public",
    ("GET", P): "list",
    ("GET", P + "/search"): "list",
    ("GET", "/api/v1/search"): "list",
    ("GET", PACKAGE): "pull",
    ("POST", PACKAGE): "push",
    ("GET", PACKAGE + "/{release}"): "pull",
    ("GET", FILE): "pull",
    ("DELETE", FILE): "delete",
    ("POST", PACKAGE + "/{release}/yank"): "push",
    ("DELETE", PACKAGE + "/{release}/yank"): "push",
    ("GET", FILE + "/pull"): "pull",
    ("GET", FILE + "/pull/json"): "pull",
    ("GET", PACKAGE + "/blobs/sha256/{digest}"): "pull",
    ("GET", PACKAGE + "/blobs/sha256/{digest}/json"): "pull",
    ("GET", PACKAGE + "/channels"): "pull",
    ("GET", PACKAGE + "/channels/{channel}"): "pull",
    ("DELETE", PACKAGE + "/channels/{channel}"): "push",
    ("POST", PACKAGE + "/channels/{channel}/{release}"): "push",
    ("DELETE", PACKAGE + "/channels/{channel}/{release}"): "push",
    **{("GET", "/helm" + path): "public" for path in ("/", "/info", "/health")},
    **{("GET", f"/helm/{{tenant}}{channel}/index.{form}"): "seen" for channel, form in product(CHANNELS, FORMS)},
    **{("GET", f"/helm/{{tenant}}{channel}/charts/{{file}}"): "seen" for channel in CHANNELS},
    **{("GET", f"/helm/{{tenant}}{channel}/charts/{{name}}/{{file}}"): "pull" for channel in CHANNELS},
    ("GET", CHARTS): "seen",
    ("POST", CHARTS): "push",
    ("POST", "/helm/api/{tenant}/prov"): "push",
    ("GET", CHARTS + "/{name}"): "pull",
    ("GET", CHARTS + "/{name}/{version}"): "pull",
    ("DELETE", CHARTS + "/{name}/{version}"): "delete",
    ("GET", CHARTS + "/{name}/{version}/{what}"): "pull",
    ("GET", A + "/me"): "self",
    ("PUT", A + "/me/password"): "user",
    **{(method, A + "/tokens"): "self" for method in ("GET", "POST")},
    **{(method, A + "/tokens/{token}"): "self" for method in ("GET", "DELETE")},
    ("POST", A + "/signing-keys"): "registry",
    **{(method, f"{A}/{kind}s"): "registry" for method in ("GET", "POST") for kind in ("user", "group")},
    **{(method, A + "/users/{user}"): "registry" for method in ("GET", "PATCH", "DELETE")},
    **{(method, A + "/groups/{group}"): "registry" for method in ("GET", "DELETE")},
    **{(method, A + "/groups/{group}/members/{user}"): "registry" for method in ("PUT", "DELETE")},
    ("GET", A + "/roles"): "registry",
    ("GET", A + "/roles/{path}"): "admin",
    **{(method, A + "/users/{user}/roles/{path}"): "admin" for method in ("PUT", "DELETE")},
    **{(method, A + "/groups/{group}/roles/{path}"): "admin" for method in ("PUT", "DELETE")},
    **{(method, A + "/policies/{path}"): "admin" for method in ("GET", "PATCH")},
    ("GET", "/v2/"): "login",
    ("GET", "/v2/_oci/ext/discover"): "public",
    ("GET", "/token"): "public",
    ("POST", "/token"): "public",
    ("GET", "/v2/_catalog"): "catalog",
    ("GET", "/v2/{name}/tags/list"): "pull",
    ("GET", "/v2/{name}/referrers/{reference}"): "pull",
    ("GET", "/v2/{name}/manifests/{reference}"): "pull",
    ("PUT", "/v2/{name}/manifests/{reference}"): "push",
    ("DELETE", "/v2/{name}/manifests/{reference}"): "delete",
    ("GET", BLOBS + "{reference}"): "pull",
    ("DELETE", BLOBS + "{reference}"): "delete",
    ("POST", BLOBS + "uploads/"): "push",
    ("GET", BLOBS + "uploads/{reference}"): "push",
    ("PATCH", BLOBS + "uploads/{reference}"): "push",
    ("PUT", BLOBS + "uploads/{reference}"): "push",
    ("DELETE", BLOBS + "uploads/{reference}"): "push",
}

ACTIONS = {"seen": "list", "registry": "admin", "user": "self"}
"""`seen` shows to each caller what he may pull, and sends anybody who may pull nothing to log in; `registry` is to
administer all of it, `admin` a path; `user` is for users, and not for robot tokens."""
UNKNOWN = ("wrong password", "expired token", "revoked token")
RIGHTS = {
    "anonymous": {},
    "reader": {"team": {"pull"}},
    "writer": {"team": {"pull", "push"}},
    "other's admin": {},
    "team's admin": {"team": {"pull", "push", "delete", "admin"}},
    "narrow robot": {PRIVATE: {"pull"}},
    "admin": {"team": {"pull", "push", "delete", "admin"}, "open": {"pull", "push", "delete", "admin"}},
}
"""Who has which rights in a namespace, or in one repository. What is in `open` may be pulled by all."""


def routes() -> list[Route]:
    """The route table of every protocol, as the server has it in this mode."""

    async def ready() -> None: ...

    async def check(name: str, password: str, address: str) -> None: ...

    nothing: object = _Anything()
    fields = FieldReader(BodyLimits(), Path())
    authorize = OpenAuthority().authorize
    adapters: list[Adapter] = [
        cnr.adapter(nothing, fields, Site(fields, ready, check=check), authorize),  # type: ignore[arg-type]
        oci.adapter(nothing, authorize, stall_s=1, tokens=nothing),  # type: ignore[arg-type]
    ]
    found = [route for adapter in adapters for route in adapter.router.routes]
    charts = helm.adapter(nothing, authorize, context_path="/helm", stall_s=1)  # type: ignore[arg-type]
    found += [replace(route, path="/helm" + route.path) for route in charts.router.routes]  # type: ignore[attr-defined]
    return found


class _Anything:
    def __getattr__(self, name: str) -> "_Anything":
        return self


ROUTES = {(route.method, route.path): route for route in routes()}


def test_every_route_has_a_row_and_its_right() -> None:
    wanted = {key: ACTIONS.get(needs, needs) for key, needs in NEEDS.items()}
    assert {key: route.action for key, route in ROUTES.items()} == wanted


def paths(path: str, place: str) -> Iterator[str]:
    """The addresses of a route for a repository: those that exist, where there are any, and harmless ones else."""
    namespace, _, name = place.partition("/")
    values = {
        "namespace": namespace,
        "name": place if path.startswith("/v2/") else name,
        "release": "1.0.0",
        "media_type": "helm",
        "channel": "stable",
        "digest": "0" * 64,
        "tenant": namespace,
        "file": f"{name}-1.0.0.tgz",
        "version": "1.0.0",
        "what": "values",
        "user": "nobody",
        "group": "nobody",
        "token": "0" * 16,
        "path": place,
        "reference": digest(b"{}") if path.startswith(BLOBS) else "1.0.0",
    }
    if "uploads/{" in path:
        values["reference"] = "0" * 32
    if "referrers" in path:
        values["reference"] = digest(b"{}")
    found = path.format(**values)
    yield found
    if path.startswith(("/api", "/docs", "/version")):
        yield "/cnr" + found


def expected(needs: str, who: str, place: str, protocol: str) -> int | None:
    """The status of a refusal; None where there is none."""
    if needs == "public":
        return None
    if who in UNKNOWN:
        return 401
    if needs == "registry":
        return None if who == "admin" else 403
    if needs in ("self", "user"):
        return 403 if who == "anonymous" or (needs == "user" and "robot" in who) else None
    if needs in ("list", "login", "catalog"):
        return 401 if needs != "list" and who == "anonymous" else None
    namespace = place.partition("/")[0]
    if needs == "seen":
        return 401 if who == "anonymous" and namespace != "open" else None
    rights = RIGHTS[who].get(namespace, set()) | RIGHTS[who].get(place, set())
    if needs in rights or (needs == "pull" and namespace == "open"):
        return None
    return 401 if who == "anonymous" and protocol != "cnr" else 403


def harmless(method: str, path: str) -> str:
    """An address at which an allowed change finds nothing to change."""
    if "{release}/yank" in path or (method == "DELETE" and "{release}/{media_type}" in path):
        return path.replace("{release}", "9.9.9")
    if method == "DELETE" and "{version}" in path:
        return path.replace("{version}", "9.9.9")
    if method in ("DELETE", "PUT") and path.startswith("/v2/{name}/manifests"):
        return path.replace("{reference}", "9.9.9")
    if method == "DELETE" and path == BLOBS + "{reference}":
        return path.replace("{reference}", digest(b"nothing has this"))
    return path


GUARDED = [key for key, needs in NEEDS.items() if needs in ("pull", "push", "delete", "seen", "admin")]
MOVING = ("x-request-id", "date", "content-length")
WHO = [*UNKNOWN, *RIGHTS]


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path"), list(NEEDS))
def test_a_route(world: World, http: httpx.Client, method: str, path: str, who: str) -> None:
    needs = NEEDS[method, path]
    protocol = "oci" if path.startswith(("/v2", "/token")) else "helm" if path.startswith("/helm") else "cnr"
    if path == "/token" and who in UNKNOWN:
        assert http.request(method, path, headers=world.headers[who]).status_code in (400, 401)
        return
    for place in PLACES.values():
        refusal = expected(needs, who, place, protocol)
        for address in paths(harmless(method, path), place):
            for verb in (method, "HEAD") if method == "GET" else (method,):
                answer = http.request(verb, address, headers=world.headers[who])
                what = f"{verb} {address} by {who}: {answer.status_code} {answer.text[:300]}"
                assert answer.status_code < 500, what
                if refusal is None:
                    assert answer.status_code not in (401, 403), what
                else:
                    assert answer.status_code == refusal, what
                assert ("www-authenticate" in answer.headers) == (answer.status_code == 401), what


@pytest.mark.parametrize("who", ["anonymous", "other's admin"])
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_private_and_missing_look_alike(world: World, http: httpx.Client, method: str, path: str, who: str) -> None:
    seen = []
    for place in (PLACES["private"], PLACES["missing"], "nowhere/atall"):
        (address, *_) = paths(path, place)
        answer = http.request(method, address, headers=world.headers[who])
        kept = {key: value for key, value in answer.headers.items() if key not in MOVING}
        text = f"{answer.status_code} {sorted(kept.items())} {answer.text}"
        seen.append(text.replace(place, "PLACE"))
    assert seen[0] == seen[1] == seen[2]


VARIANTS: tuple[Callable[[str], str], ...] = (
    lambda path: path + "/",
    lambda path: path.replace("/team", "//team", 1),
    lambda path: path.replace("/app", "//app", 1),
    lambda path: "/" + path,
    lambda path: path.replace("team", "TEAM"),
    lambda path: path.replace("team/app", "team%2fapp"),
    lambda path: path.replace("team/app", "team%2Fapp"),
    lambda path: path.replace("team", "%74eam"),
    lambda path: path.replace("team", "./team"),
    lambda path: path.replace("team", "open/../team"),
    lambda path: path.replace("team/app", "open/app/../../team/app"),
    lambda path: path.replace("team", "open%2f..%2fteam"),
    lambda path: path.replace("/v2", "/V2").replace("/helm", "/HELM"),
    lambda path: path.replace("/helm", "/helm/helm"),
    lambda path: path.replace("/api/v1", "/cnr/cnr/api/v1"),
    lambda path: path + "?namespace=open&name=app",
    lambda path: path + "%00",
    lambda path: path + ";/open/app",
)


@pytest.mark.parametrize("who", ["anonymous", "other's admin"])
@pytest.mark.parametrize(("method", "path"), GUARDED)
def test_another_spelling_opens_nothing(world: World, http: httpx.Client, method: str, path: str, who: str) -> None:
    for address, *_ in (list(paths(path, PRIVATE)),):
        for variant in VARIANTS:
            target = http.base_url.copy_with(raw_path=variant(address).encode())
            for verb in (method, "HEAD") if method == "GET" else (method,):
                answer = http.send(httpx.Request(verb, target, headers=world.headers[who]))
                what = f"{verb} {variant(address)}: {answer.status_code} {answer.text[:300]}"
                empty = NEEDS[method, path] == "seen" and answer.status_code == 200 and "1.0.0" not in answer.text
                assert empty or answer.status_code in (400, 401, 403, 404, 405), what


LISTS = (P, P + "/search?q=app", P + "?namespace=team", "/api/v1/search?q=app", "/v2/_catalog")


@pytest.mark.parametrize("path", LISTS)
def test_lists_show_what_may_be_pulled(world: World, http: httpx.Client, path: str) -> None:
    for who, rights in RIGHTS.items():
        sees = who != "anonymous" and bool(rights)
        headers = world.headers[who]
        if path.startswith("/v2") and who == "anonymous":
            headers = {"Authorization": f"Bearer {world.token({}, 'registry:catalog:*')}"}
        answer = http.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        assert ("team/app" in answer.text) == sees, f"{who}: {answer.text}"
        if "team" not in path:
            assert "open/app" in answer.text

"""Routing: static segments win, slashes and methods."""

import pytest
from starlette.requests import Request
from starlette.responses import Response

from cnr.http.routes import MethodNotAllowed, Route, RouteNotFound, Router


async def handler(request: Request, **values: str) -> Response:
    return Response()


def router(*paths: str, prefixes: tuple[str, ...] = ("",)) -> Router:
    pairs = (path.split(" ") for path in paths)
    return Router([Route(method, path, handler, "public") for method, path in pairs], prefixes=prefixes)


PATHS = (
    "GET /p",
    "GET /p/search",
    "GET /p/{ns}/{name}",
    "POST /p/{ns}/{name}",
    "GET /p/{ns}/{name}/{release}",
    "GET /p/{ns}/{name}/channels",
    "GET /p/{ns}/{name}/{release}/{format}/pull",
    "GET /p/{ns}/{name}/blobs/sha256/{digest}",
)


@pytest.mark.parametrize(
    ("path", "route", "values"),
    [
        ("/p", "/p", {}),
        ("/p/", "/p", {}),
        ("/p/search", "/p/search", {}),
        ("/p/search/x", "/p/{ns}/{name}", {"ns": "search", "name": "x"}),
        ("/p/ns/channels", "/p/{ns}/{name}", {"ns": "ns", "name": "channels"}),
        ("/p/a/b/channels/", "/p/{ns}/{name}/channels", {"ns": "a", "name": "b"}),
        ("/p/a/b/1.0.0", "/p/{ns}/{name}/{release}", {"ns": "a", "name": "b", "release": "1.0.0"}),
        (
            "/p/a/b/blobs/sha256/pull",
            "/p/{ns}/{name}/blobs/sha256/{digest}",
            {"ns": "a", "name": "b", "digest": "pull"},
        ),
        (
            "/p/a/b/blobs/sha512/pull",
            "/p/{ns}/{name}/{release}/{format}/pull",
            {"ns": "a", "name": "b", "release": "blobs", "format": "sha512"},
        ),
    ],
)
def test_static_segments_win_over_variables(path: str, route: str, values: dict[str, str]) -> None:
    found, given = router(*PATHS).match("GET", path)
    assert (found.path, given) == (route, values)


@pytest.mark.parametrize("path", ["", "/", "/q", "/p//", "/p/a", "/p/a//", "//p", "/p/a/b/c/d", "/P"])
def test_other_paths_are_not_found(path: str) -> None:
    with pytest.raises(RouteNotFound):
        router(*PATHS).match("GET", path)


def test_head_is_a_get_and_other_methods_name_what_is_allowed() -> None:
    routes = router(*PATHS)
    assert routes.match("HEAD", "/p")[0].method == "GET"
    with pytest.raises(MethodNotAllowed) as refusal:
        routes.match("DELETE", "/p/a/b")
    assert refusal.value.allow == ("GET", "HEAD", "OPTIONS", "POST")


def test_every_prefix_has_every_route() -> None:
    routes = router("GET /", "GET /p/{x}", prefixes=("", "/cnr"))
    for path in ("/", "/cnr", "/cnr/", "/p/1", "/cnr/p/1"):
        routes.match("GET", path)


def test_two_routes_of_one_address_are_refused() -> None:
    with pytest.raises(ValueError, match="two routes"):
        router("GET /{a}", "GET /{b}")

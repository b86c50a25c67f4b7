"""A read-only registry: every change is refused by every protocol, and everything else goes on."""

import httpx
import pytest
from tests.protocols.audit.lines import ask
from tests.protocols.auth.test_matrix import NEEDS, ROUTES, paths
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, code
from tests.protocols.oci.client import Oci

CHANGING = [key for key, route in ROUTES.items() if route.changes]
READING = [key for key, needs in NEEDS.items() if key[0] == "GET" and needs in ("pull", "list", "seen", "public")]


def protocol(path: str) -> str:
    return "oci" if path.startswith("/v2") else "helm" if path.startswith("/helm") else "cnr"


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_change_is_refused(closed: World, method: str, path: str) -> None:
    with closed.http(**closed.headers["admin"]) as http:
        for address in paths(path, PRIVATE):
            answer, lines = ask(closed, http, method, address)
            assert answer.status_code == 405, f"{method} {address}: {answer.status_code} {answer.text}"
            readable = ("GET", path) in ROUTES
            assert answer.headers["Allow"] == ("GET, HEAD, OPTIONS" if readable else "OPTIONS")
            if protocol(path) == "helm":
                assert "read-only" in answer.json()["error"]
            else:
                assert code(answer) == {"cnr": "read-only", "oci": "UNSUPPORTED"}[protocol(path)]
            assert [(line["result"], line["who"]["name"]) for line in lines] == [("failed", "root")]


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_who_may_not_hears_that_first(closed: World, method: str, path: str) -> None:
    with closed.http() as http:
        for address in paths(path, PRIVATE):
            assert http.request(method, address).status_code in (401, 403)


@pytest.mark.parametrize(("method", "path"), READING)
def test_a_read_goes_on(closed: World, method: str, path: str) -> None:
    with closed.http(**closed.headers["admin"]) as http:
        for address in paths(path, PRIVATE):
            assert http.request(method, address).status_code not in (405, 500, 503)


def test_a_login_and_a_token_go_on(closed: World) -> None:
    token = closed.token(closed.headers["reader"], f"repository:{PRIVATE}:pull")
    with closed.http(Authorization=f"Bearer {token}") as http:
        assert Oci(http, PRIVATE).http.get(f"/v2/{PRIVATE}/manifests/1.0.0").status_code == 200
    with closed.http() as http:
        user = {"user": {"username": "rita", "password": PASSWORD}}
        assert http.post("/api/v1/users/login", json=user).status_code == 200


def test_nothing_of_a_refused_body_is_waited_for(closed: World) -> None:
    """A client that sends a large body hears of it at once."""
    with closed.http(**closed.headers["admin"]) as http, pytest.raises(httpx.HTTPStatusError, match="405"):
        http.post(f"/api/v1/packages/{PRIVATE}", content=b"x" * 10_000_000).raise_for_status()

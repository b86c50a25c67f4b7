"""A read-only registry: every change is refused by every protocol, and everything else goes on."""

import time
from pathlib import Path

import httpx
import pytest
from tests.protocols.audit.lines import ask
from tests.protocols.auth.test_matrix import NEEDS, ROUTES, paths
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, code
from tests.protocols.oci.client import Oci

from cnr.auth.access_control import AccessControl
from cnr.registry.registry import Registry
from cnr.store.probe import StoreFormat, write_format
from cnr.store.records import FORMAT

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


async def _raise_format(registry: Registry, control: AccessControl) -> None:
    newer = StoreFormat(read_format=FORMAT + 1, write_format=FORMAT + 1)
    await write_format(registry.core.records, newer, registry.core.new_id)


def test_a_server_that_became_too_old_changes_nothing_more(tmp_path: Path) -> None:
    world = World.start(tmp_path, entry="serve", workers=2)
    try:
        with world.http(**world.headers["admin"]) as http:
            http.post(f"/v2/{PRIVATE}/blobs/uploads/").raise_for_status()
            world.on_store(_raise_format)
            until = time.monotonic() + 60
            refused = 0  # by both workers: several in a row
            while refused < 10:
                answer = httpx.post(f"{world.server.url}/v2/{PRIVATE}/blobs/uploads/", headers=http.headers)
                refused = refused + 1 if answer.status_code == 405 else 0
                assert time.monotonic() < until, answer.text
                time.sleep(0.1)
            assert "older than the format" in answer.json()["errors"][0]["message"]
            assert http.get(f"/v2/{PRIVATE}/manifests/1.0.0").status_code == 200
        assert "it is read-only now" in world.server.output()
    finally:
        world.server.kill()

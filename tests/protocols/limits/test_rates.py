"""A request beyond a rate is refused in its protocol's own shape; health checks never are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.auth.world import World, basic
from tests.protocols.cnr.server import Server

CNR: Callable[[Any], str] = lambda body: body["error"]["code"]  # noqa: E731
OCI: Callable[[Any], str] = lambda body: body["errors"][0]["code"]  # noqa: E731
HELM: Callable[[Any], str] = lambda body: body["error"]  # noqa: E731


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn", "serve"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    env = {
        "CNR_RATE_PER_ADDRESS": "20",
        "CNR_WRITE_RATE_PER_ADDRESS": "2",
        "CNR_RATE_BURST": "1",
        "CNR_TRUSTED_PROXIES": "127.0.0.1",
    }
    # uvicorn believes proxies on this machine by itself, gunicorn's bridge believes none
    server = Server(tmp_path_factory.mktemp("rates"), entry=request.param, env=env)
    try:
        yield server.start()
    finally:
        server.kill()


def refused(server: Server, method: str, path: str, what: str = "requests") -> httpx.Response:
    """The first refusal of many requests for this reason."""
    with httpx.Client(base_url=server.url, timeout=60) as client:
        for _ in range(1000):
            answer = client.request(method, path)
            if answer.status_code == 429 and f"too many {what} by your address" in answer.text:
                return answer
    raise AssertionError("nothing was refused")


@pytest.mark.parametrize(
    ("path", "code", "expected"),
    [
        ("/api/v1/packages/a/b", CNR, "too-many-requests"),
        ("/cnr/api/v1/packages", CNR, "too-many-requests"),
        ("/no-such-page", CNR, "too-many-requests"),
        ("/v2/a/tags/list", OCI, "TOOMANYREQUESTS"),
        ("/v2/", OCI, "TOOMANYREQUESTS"),
        ("/helm/a/index.yaml", HELM, "too many requests by your address: try again in 1 s"),
        ("/helm/api/a/charts", HELM, "too many requests by your address: try again in 1 s"),
    ],
)
def test_each_protocol_says_so_in_its_own_way(
    path: str, code: Callable[[Any], str], expected: str, server: Server
) -> None:
    answer = refused(server, "GET", path)
    assert answer.headers["retry-after"] == "1"
    assert code(answer.json()) == expected


def test_changes_have_a_rate_of_their_own(server: Server) -> None:
    answer = refused(server, "POST", "/v2/a/b/blobs/uploads/", "changes")
    assert answer.headers["retry-after"] == "1"


def test_health_is_always_answered(server: Server) -> None:
    refused(server, "GET", "/version")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert {client.get(path).status_code for path in ("/healthz", "/readyz") * 20} == {200}


def test_behind_a_trusted_proxy_each_client_has_his_own_rate(tmp_path: Path) -> None:
    env = {"CNR_RATE_PER_ADDRESS": "0.01", "CNR_RATE_BURST": "500"}
    for trusted, expected in (("127.0.0.1", {200}), ("192.0.2.1", {200, 429})):
        server = Server(tmp_path / trusted, entry="serve", env={**env, "CNR_TRUSTED_PROXIES": trusted})
        try:
            server.start()
            with httpx.Client(base_url=server.url, timeout=60) as client:
                answers = [client.get("/version", headers={"X-Forwarded-For": f"192.0.2.{n}"}) for n in range(9)]
            assert {answer.status_code for answer in answers} == expected
        finally:
            server.kill()


def test_a_caller_has_a_rate_wherever_he_asks_from(tmp_path: Path) -> None:
    world = World.start(
        tmp_path, entry="serve", CNR_RATE_PER_CALLER="0.1", CNR_RATE_BURST="200", CNR_TRUSTED_PROXIES="127.0.0.1"
    )
    try:
        with world.http() as http:
            found = [
                http.get("/v2/team/app/tags/list", headers={**basic("rita"), "X-Forwarded-For": f"192.0.2.{n}"})
                for n in range(30)
            ]
            assert [answer.status_code for answer in found][:1] == [200]
            assert "too many requests by rita" in found[-1].json()["errors"][0]["message"]
            assert http.get("/v2/team/app/tags/list", headers=basic("will")).status_code == 200
    finally:
        world.server.kill()

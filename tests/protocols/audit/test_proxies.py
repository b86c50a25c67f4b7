"""Behind a proxy, by every entry point: which address is written down, and which addresses answers name."""

from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.audit.lines import ask
from tests.protocols.auth.world import World

FORWARDED = {
    "X-Forwarded-For": "127.0.0.1, 203.0.113.9, 10.1.2.3",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "Host": "charts.example.com",
}


@pytest.fixture(scope="module", params=["serve", "gunicorn", "uvicorn"])
def behind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("behind")
    world = World.start(folder, entry=request.param, CNR_TRUSTED_PROXIES="127.0.0.1, 10.0.0.0/8")
    yield world
    world.server.kill()


@pytest.fixture(scope="module", params=["serve", "gunicorn"])
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp("alone"), entry=request.param)
    yield world
    world.server.kill()


def challenge(http: httpx.Client) -> str:
    return http.get("/v2/", headers=FORWARDED).headers["www-authenticate"]


def test_what_a_trusted_proxy_says(behind: World) -> None:
    with behind.http() as http:
        _, (line,) = ask(behind, http, "GET", "/v2/team/app/tags/list", headers=FORWARDED)
        assert line["address"] == "203.0.113.9"
        assert 'realm="https://charts.example.com/token"' in challenge(http)
        page = http.get("/", headers=FORWARDED).text
        assert "https://charts.example.com/" in page
        assert "evil" not in page


def test_what_somebody_else_says(alone: World) -> None:
    with alone.http() as http:
        _, (line,) = ask(alone, http, "GET", "/v2/team/app/tags/list", headers=FORWARDED)
        assert line["address"] == "127.0.0.1"
        assert 'realm="http://charts.example.com/token"' in challenge(http)
        assert "evil" not in http.get("/", headers=FORWARDED).text
        upload = http.post("/v2/team/app/blobs/uploads/", headers={**FORWARDED, **alone.headers["admin"]})
        assert upload.headers["location"].startswith("/v2/team/app/blobs/uploads/")


def test_no_address_of_an_index_comes_from_a_header(alone: World) -> None:
    with alone.http(**alone.headers["admin"]) as http:
        index = http.get("/helm/team/index.yaml", headers=FORWARDED).text
        assert "urls" in index
        assert "evil" not in index

"""The CNR API as an ASGI application: where it is mounted, what a hostile head makes of it, and unchanged files."""

import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.packages import b64, chart

from cnr.app import App
from cnr.config import Config
from cnr.settings.setting import ConfigError

P = "/api/v1/packages"
BLOB = chart("app")


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = App(Config.load({"DATABASE_URL": str(tmp_path), "CNR_ACCESS_LOG": "off"}))
    await app.startup()
    async with client(app) as http:
        for release in ("1.0.0", "2.0.0"):
            body = {"release": release, "media_type": "helm", "blob": b64(BLOB)}
            assert (await http.post(f"{P}/ns/app", json=body)).status_code == 200
    yield app
    await app.shutdown()


def client(app: App, root: str = "") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, root_path=root), base_url="http://registry.test")


@pytest.mark.parametrize("root", ["/registry", "/registry/", "/r\u00e4"])
async def test_below_a_prefix(app: App, root: str) -> None:
    """As `uvicorn --root-path`, whose paths begin with it."""
    prefix = root.rstrip("/")
    async with client(app, root) as http:
        answer = await http.get(f"{prefix}{P}/ns/app/1.0.0/helm")
        assert (answer.status_code, answer.json()["release"]) == (200, "1.0.0")
        assert (await http.get(f"{prefix}x{P}")).status_code == 404
        page = await http.get(f"{prefix}/")
        for link in ("/docs", P, "/cnr/api/v1/packages/{name}"):
            assert httpx.URL(prefix + link).raw_path.decode().replace("%7B", "{").replace("%7D", "}") in page.text
        assert 'content="registry.test/{name} http://registry.test/r' in page.text
        first = await http.get(f"{prefix}{P}", params={"limit": "1"})
        following = await http.get(first.links["next"]["url"])
        assert following.status_code == 200


async def test_a_public_address_with_a_path(tmp_path: Path) -> None:
    app = App(Config.load({"DATABASE_URL": str(tmp_path), "CNR_URI": "https://example.com/registry"}))
    await app.startup()
    async with client(app) as http:
        page = (await http.get("/", headers={"Host": "elsewhere"})).text
    await app.shutdown()
    assert 'content="example.com/{name} https://example.com/registry/cnr/api/v1/packages/{name}/' in page
    assert '"/registry/docs"' in page
    assert "elsewhere" not in page


@pytest.mark.parametrize("host", ["a b", "[", "h/x", 'evil"><script>', "h:port", "user@h", ""])
async def test_a_host_that_can_be_none_is_not_repeated(app: App, host: str) -> None:
    async with client(app) as http:
        answer = await http.get("/", headers={"Host": host})
    assert 'content="localhost/{name} http://localhost/cnr/' in answer.text


@pytest.mark.parametrize("host", ["h", "example.com:5000", "10.0.0.1", "[::1]:5000", "a_b.svc"])
async def test_a_host_is_where_the_client_found_us(app: App, host: str) -> None:
    async with client(app) as http:
        assert f'content="{host}/{{name}} http://{host}/cnr/' in (await http.get("/", headers={"Host": host})).text


@pytest.mark.parametrize("path", ["/\ud800", P + "/\udcff/app", f"{P}/ns/app/\ud800/helm", f"{P}/ns/app/1.0.0/\udfff"])
async def test_a_path_that_no_text_can_hold(app: App, path: str) -> None:
    """Some servers decode a path so that bytes which are no UTF-8 become lone surrogates."""
    status, body = await raw(app, path)
    assert status in (404, 422)
    assert b'"error"' in body


async def raw(app: App, path: str) -> tuple[int, bytes]:
    sent: list[Mapping[str, Any]] = []

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "query_string": b"",
        "headers": [],
        "server": ("registry.test", 80),
    }
    await app(scope, receive, send)  # type: ignore[arg-type]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_every_answer_forbids_to_guess_its_type(app: App) -> None:
    async with client(app) as http:
        for path in ("/", "/nothing", f"{P}/ns/app/1.0.0/helm/pull", f"{P}/ns/app", "/docs"):
            assert (await http.get(path)).headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("address", [f"{P}/ns/app/default/helm/pull", f"{P}/ns/app/blobs/sha256/{{digest}}"])
async def test_a_file_that_the_client_has_is_not_sent_again(app: App, address: str) -> None:
    async with client(app) as http:
        shown = (await http.get(f"{P}/ns/app/1.0.0/helm")).json()
        path = address.replace("{digest}", shown["content"]["digest"])
        first = await http.get(path)
        tag = first.headers["etag"]
        for method in ("GET", "HEAD"):
            again = await http.request(method, path, headers={"If-None-Match": f'"other", {tag}'})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert "content-length" not in again.headers
            other = await http.request(method, path, headers={"If-None-Match": '"other"'})
            assert (other.status_code, other.headers["content-length"]) == (200, str(len(BLOB)))
        assert (first.content, first.status_code) == (BLOB, 200)


async def test_after_null_is_no_after(app: App) -> None:
    async with client(app) as http:
        found = await http.request("GET", P, json={"after": None, "limit": 5})
    assert [item["name"] for item in found.json()] == ["ns/app"]


async def test_a_start_that_fails_leaves_nothing_open(tmp_path: Path) -> None:
    """Where no lifespan is spoken each request tries anew: what is left open then adds up."""
    app = App(Config.load({"DATABASE_URL": str(tmp_path), "CNR_ACCESS_LOG": str(tmp_path / "none" / "log")}))
    before = set(threading.enumerate())
    with pytest.raises(ConfigError):
        await app.startup()
    assert not [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("cnr")]

"""Tokens and requests that somebody made to get in. Source: shared design, "token validation", "privilege at
signup", "open redirect / CSRF / CORS".
"""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, basic, bearer

from cnr.auth.access_control import AccessControl
from cnr.registry.registry import Registry
from cnr.store import keys, records
from cnr.store.records import SigningKeys

MANIFEST = f"/v2/{PRIVATE}/manifests/1.0.0"


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, payload, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (head, payload))


def signed(header: dict[str, Any], claims: dict[str, Any], key: bytes, algorithm: str = "sha256") -> str:
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{text}.{b64(hmac.new(key, text.encode(), algorithm).digest())}"


@pytest.fixture(scope="module")
def key(world: World) -> bytes:
    """The key that signs, which no attacker has."""
    world.token({})

    async def read(registry: Registry, control: AccessControl) -> dict[str, bytes]:
        found: SigningKeys = records.decode(SigningKeys, (await registry.core.records.get(keys.SIGNING)).value)
        return {each.id: each.secret for each in found.keys}

    kid = parts(world.token({}))[0]["kid"]
    return world.on_store(read)[kid]


@pytest.fixture(scope="module")
def good(world: World) -> str:
    return world.token(basic("rita"), f"repository:{PRIVATE}:pull")


def test_the_signature_made_here_is_good(world: World, http: httpx.Client, good: str, key: bytes) -> None:
    """So that what the others refuse is refused for its own reason."""
    header, claims = parts(good)
    assert http.get(MANIFEST, headers=bearer(signed(header, claims, key))).status_code == 200


JWK = {"kty": "oct", "k": b64(b"k" * 32)}


@pytest.mark.parametrize(
    ("header", "with_our_key"),
    [
        ({"alg": "none"}, True),
        ({"alg": "None"}, True),
        ({"alg": "hs256"}, True),
        ({"alg": "HS512"}, True),
        ({"alg": "RS256"}, True),
        ({"jwk": JWK}, True),
        ({"jwk": JWK}, False),
        ({"jku": "http://127.0.0.1:1/keys"}, True),
        ({"x5u": "http://127.0.0.1:1/keys"}, True),
        ({"x5c": ["a"]}, True),
        ({"crit": ["exp"]}, True),
        ({"b64": False}, True),
        ({"zip": "DEF"}, True),
        ({"kid": "../../dev/null"}, False),
        ({"kid": "/etc/passwd"}, False),
        ({"kid": "' OR 1=1 --"}, False),
        ({"kid": ""}, False),
        ({"kid": None}, False),
        ({"kid": ["a"]}, False),
        ({"kid": "é"}, False),
        ({"kid": "a" * 5000}, False),
        ({"typ": "at+jwt"}, True),
    ],
    ids=str,
)
def test_a_header_decides_nothing(
    http: httpx.Client, good: str, key: bytes, header: dict[str, Any], with_our_key: bool
) -> None:
    ours, claims = parts(good)
    for secret in (key,) if with_our_key else (b"k" * 32, b""):
        token = signed({**ours, **header}, claims, secret)
        assert http.get(MANIFEST, headers=bearer(token)).status_code == 401
        unsigned = token.rpartition(".")[0] + "."
        assert http.get(MANIFEST, headers=bearer(unsigned)).status_code == 401


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1},
        {"exp": 10**12, "nbf": 10**11},
        {"exp": "9999999999"},
        {"exp": 1e300},
        {"exp": None},
        {"aud": "another"},
        {"aud": ["cnr-server"]},
        {"iss": "another"},
        {"use": "refresh"},
        {"use": "admin"},
        {"access": "all"},
        {"access": [{"type": "repository", "name": PRIVATE}]},
        {"access": []},
        {"caller": {"kind": "user", "id": "root", "born": "x", "version": 1}},
        {"caller": {"kind": "admin", "id": "root", "born": "x", "version": 1}},
        {"caller": {"kind": "robot", "id": "../users/root", "born": "x", "version": 1}},
        {"caller": None},
    ],
    ids=str,
)
def test_claims_are_checked_although_they_are_signed(
    http: httpx.Client, good: str, key: bytes, change: dict[str, Any]
) -> None:
    header, claims = parts(good)
    assert http.get(MANIFEST, headers=bearer(signed(header, {**claims, **change}, key))).status_code == 401


def test_a_scope_wider_than_the_right_gives_nothing(http: httpx.Client, good: str, key: bytes) -> None:
    header, claims = parts(good)
    wide = [{"type": "repository", "name": PRIVATE, "actions": ["*"]}]
    token = signed(header, {**claims, "access": wide}, key)
    assert http.get(MANIFEST, headers=bearer(token)).status_code == 200
    assert http.post(f"/v2/{PRIVATE}/blobs/uploads/", headers=bearer(token)).status_code == 401


BENT: tuple[Callable[[str], str], ...] = (
    lambda token: token[:-2],
    lambda token: token + "A",
    lambda token: token.replace(".", "..", 1),
    lambda token: token[1:],
)


@pytest.mark.parametrize("change", BENT)
def test_a_bent_token(http: httpx.Client, good: str, change: Callable[[str], str]) -> None:
    assert http.get(MANIFEST, headers=bearer(change(good))).status_code == 401


def _basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


NOTHING = (
    *("", "Basic", "Basic !!!", "Basic cm9vdA==", "Bearer", "Bearer .", "Bearer ..", "Bearer a.b.c", "Digest x"),
    *("Bearer cnr_", f"Bearer cnr_{'0' * 16}_{'A' * 43}", f"Bearer {'a' * 20_000}.b.c"),
    *(_basic(b"\xff\xfe:x"), _basic(b"root\x00:x"), _basic(b"a/b:" + b"x" * 3000)),
)


@pytest.mark.parametrize("value", NOTHING)
@pytest.mark.parametrize("path", [MANIFEST, "/v2/", "/api/v1/packages", f"/api/v1/packages/{PRIVATE}"])
def test_headers_that_are_nothing(http: httpx.Client, value: str, path: str) -> None:
    answer = http.get(path, headers={"Authorization": value})
    assert answer.status_code == 401, answer.text
    assert PASSWORD not in answer.text


def test_an_empty_name_and_password_are_none(http: httpx.Client) -> None:
    """As skopeo sends them that nobody logged in."""
    nobody = {"Authorization": _basic(b":")}
    assert http.get("/v2/", headers=nobody).status_code == 401
    assert http.get(MANIFEST, headers=nobody).status_code == 401
    assert http.get("/v2/open/app/manifests/1.0.0", headers=nobody).status_code == 200


def test_a_digest_of_another_repository_opens_nothing(world: World, http: httpx.Client) -> None:
    found = http.get(MANIFEST, headers=basic("root"))
    digest = "sha256:" + hashlib.sha256(found.content).hexdigest()
    layer = found.json()["layers"][0]["digest"]
    for path in (f"manifests/{digest}", f"blobs/{layer}"):
        assert http.get(f"/v2/{PRIVATE}/{path}", headers=basic("root")).status_code == 200
        assert http.get(f"/v2/other/app/{path}", headers=basic("otto")).status_code == 404
        assert http.get(f"/v2/open/none/{path}").status_code == 404


ELSEWHERE = ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"})


@pytest.mark.parametrize("headers", ELSEWHERE)
def test_another_site_changes_nothing_with_a_browser_s_password(http: httpx.Client, headers: dict[str, str]) -> None:
    for method, path in (
        ("POST", f"/api/v1/packages/{PRIVATE}"),
        ("DELETE", f"/v2/{PRIVATE}/manifests/1.0.0"),
        ("POST", f"/api/v1/packages/{PRIVATE}/channels/stable/1.0.0"),
    ):
        assert http.request(method, path, headers={**basic("root"), **headers}).status_code == 403
    answer = http.get(f"/api/v1/packages/{PRIVATE}", headers={**basic("root"), **headers})
    assert answer.status_code == 200
    assert "access-control-allow-credentials" not in answer.headers


def test_a_host_header_gets_into_no_challenge(http: httpx.Client) -> None:
    answer = http.get("/v2/", headers={"Host": 'evil"\\,x="'})
    assert answer.headers["www-authenticate"].startswith('Bearer realm="http://localhost/token"')


def test_login_of_the_cnr_api(http: httpx.Client) -> None:
    """Cases 75 and 76."""
    login = "/api/v1/users/login"
    good = http.post(login, json={"user": {"username": "rita", "password": PASSWORD}})
    assert list(good.json()) == ["token"]
    token = good.json()["token"]
    for scheme in ("basic", "Basic", "BASIC"):
        headers = {"Authorization": token.replace("basic", scheme, 1)}
        assert http.get(f"/api/v1/packages/{PRIVATE}", headers=headers).status_code == 200
    wrong = http.post(login, json={"user": {"username": "rita", "password": "x"}})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "unauthorized-access")
    assert http.post(login, json={"user": {"username": "rita"}}).status_code == 400
    more = {"user": {"username": "rita", "password": PASSWORD, "admin": True, "role": "admin"}, "admin": True}
    token = http.post(login, json=more).json()["token"]
    assert http.post(f"/api/v1/packages/{PRIVATE}", headers={"Authorization": token}).status_code == 403


def test_nothing_secret_is_logged(world: World) -> None:
    said = world.server.output()
    assert PASSWORD not in said
    assert base64.b64encode(f"rita:{PASSWORD}".encode()).decode() not in said
    assert "cnr_" not in said
    assert "Traceback" not in said

"""Cases 58 and 61 to 68 of the shared contract: challenges, tokens, and what each lets in."""

import base64
import json
import re
import socket
from collections.abc import Mapping

import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, PRIVATE, PUBLIC, World, basic, bearer, code
from tests.protocols.oci.client import Oci, digest

UPLOADS = "/v2/{}/blobs/uploads/"


def access(token: str) -> dict[str, list[str]]:
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return {scope["name"]: scope["actions"] for scope in claims["access"]}


def challenge(answer: httpx.Response) -> dict[str, str]:
    (header,) = answer.headers.get_list("www-authenticate")
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


def test_61_the_ping_asks_for_one_scheme(world: World, basic_world: World, http: httpx.Client) -> None:
    for path in ("/v2/", "/v2"):
        answer = http.get(path)
        assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
        assert challenge(answer) == {"realm": f"{world.server.url}/token", "service": "cnr-server"}
        assert http.get(path, headers=basic("root", "wrong")).status_code == 401
        assert http.get(path, headers=basic("nobody")).status_code == 401
        assert http.get(path, headers=basic("rita")).status_code == 200
        assert http.get(path, headers=bearer(world.token({}))).status_code == 200
    with basic_world.http() as other:
        answer = other.get("/v2/")
        assert answer.headers.get_list("www-authenticate") == ['Basic realm="cnr-server", charset="UTF-8"']
        assert other.get("/v2/", headers=basic("rita")).status_code == 200


def test_62_scopes_in_one_parameter_or_several(world: World, http: httpx.Client) -> None:
    first, second = "repository:team/a:pull,push", "repository:team/b:pull"
    for scopes in ([first, second], [f"{first} {second}"]):
        answer = http.get("/token", params={"scope": scopes}, headers=basic("will"))
        body = answer.json()
        assert access(body["token"]) == {"team/a": ["pull", "push"], "team/b": ["pull"]}
        assert body["access_token"] == body["token"]
        assert body["expires_in"] >= 60
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", body["issued_at"])
        assert answer.headers["cache-control"] == "no-store"


def test_63_password_and_refresh_token(world: World, http: httpx.Client) -> None:
    form = {"grant_type": "password", "username": "will", "password": PASSWORD, "service": "x", "client_id": "c"}
    scope = {"scope": "repository:team/a:pull,push repository:other/b:pull"}
    first = http.post("/token", data={**form, **scope}).json()
    assert access(first["access_token"]) == {"team/a": ["pull", "push"]}
    again = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"], "service": "x"}
    second = http.post("/token", data={**again, **scope}).json()
    assert access(second["access_token"]) == {"team/a": ["pull", "push"]}
    assert http.get("/v2/", headers=bearer(second["access_token"])).status_code == 200
    # neither is good for the other's purpose
    assert http.get("/v2/", headers=bearer(first["refresh_token"])).status_code == 401
    assert http.post("/token", data={**again, "refresh_token": first["access_token"]}).status_code == 401
    assert http.post("/token", data={**form, "password": "wrong"}).status_code == 401
    assert http.post("/token", data={"grant_type": "client_credentials"}).status_code == 400
    assert http.post("/token", content=b"\xff\xfe=1").status_code == 400
    offline = http.get("/token", params={"offline_token": "true"}, headers=basic("will")).json()
    assert offline["refresh_token"]


def test_64_a_token_for_pull_does_not_push(world: World, http: httpx.Client) -> None:
    token = world.token(basic("will"), f"repository:{PRIVATE}:pull")
    assert http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=bearer(token)).status_code == 200
    answer = http.put(f"/v2/{PRIVATE}/manifests/x", headers=bearer(token), content=b"{}")
    assert (answer.status_code, code(answer)) == (401, "UNAUTHORIZED")
    assert challenge(answer)["error"] == "insufficient_scope"
    assert challenge(answer)["scope"] == f"repository:{PRIVATE}:pull,push"


def test_65_an_empty_grant_is_a_token_and_an_expired_one_is_none(world: World, http: httpx.Client) -> None:
    token = world.token(basic("otto"), f"repository:{PRIVATE}:pull,push")
    assert access(token) == {}
    answer = http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=bearer(token))
    assert challenge(answer)["error"] == "insufficient_scope"
    answer = http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=dict(world.headers["expired token"]))
    assert (answer.status_code, challenge(answer)["error"]) == (401, "invalid_token")


def test_66_anybody_pulls_what_is_public(world: World, http: httpx.Client) -> None:
    token = world.token({}, f"repository:{PUBLIC}:pull,push", f"repository:{PRIVATE}:pull")
    assert access(token) == {PUBLIC: ["pull"]}
    for headers in (bearer(token), {}):
        assert http.get(f"/v2/{PUBLIC}/manifests/1.0.0", headers=headers).status_code == 200
        assert http.get(f"/v2/{PUBLIC}/manifests/9.9.9", headers=headers).status_code == 404
        seen = [http.get(f"/v2/{name}/manifests/1.0.0", headers=headers) for name in (PRIVATE, "team/none", "x/y")]
        assert {answer.status_code for answer in seen} == {401}


@pytest.mark.parametrize("who", ["otto", "rita"])
def test_67_a_known_user_without_the_right(world: World, http: httpx.Client, who: str) -> None:
    answer = http.post(UPLOADS.format(PRIVATE), headers=basic(who))
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("path", [UPLOADS.format(PRIVATE), f"/api/v1/packages/{PRIVATE}"])
def test_67_the_refusal_comes_before_the_body(world: World, path: str) -> None:
    with socket.create_connection(("127.0.0.1", world.server.port), timeout=20) as connection:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head.encode())
        status = connection.recv(100).split(b"\r\n")[0]
    assert status.split()[1] in (b"401", b"403")


def test_68_nothing_is_mounted_from_where_one_may_not_pull(world: World, http: httpx.Client) -> None:
    with world.http(**basic("root")) as root:
        secret = Oci(root, "secret/box").blob(b"a secret layer")
    for query in (f"mount={secret}&from=secret/box", f"mount={secret}"):
        answer = http.post(UPLOADS.format("team/new") + "?" + query, headers=basic("will"))
        assert answer.status_code == 202
    assert http.head(f"/v2/team/new/blobs/{secret}", headers=basic("will")).status_code == 404
    # a token needs both scopes, and its owner both rights
    target = "repository:team/new:pull,push"
    with world.http(**basic("will")) as will:
        layer = Oci(will, "team/from").blob(b"a layer")
    mount = UPLOADS.format("team/new") + f"?mount={layer}&from=team/from"
    narrow = http.post(mount, headers=bearer(world.token(basic("will"), target)))
    assert (narrow.status_code, challenge(narrow)["error"]) == (401, "insufficient_scope")
    assert challenge(narrow)["scope"] == f"{target} repository:team/from:pull"
    both = world.token(basic("will"), target, "repository:team/from:pull")
    assert http.post(mount, headers=bearer(both)).status_code == 201
    answer = http.post(mount)
    assert challenge(answer)["scope"] == "repository:team/new:pull,push repository:team/from:pull"


def test_deleting_with_a_token_for_push(world: World, http: httpx.Client) -> None:
    """Clients ask for no more; its owner needs the right all the same."""
    path = f"/v2/{PRIVATE}/manifests/9.9.9"
    scope = f"repository:{PRIVATE}:pull,push"
    assert http.delete(path, headers=bearer(world.token(basic("root"), scope))).status_code == 404
    assert http.delete(path, headers=bearer(world.token(basic("will"), scope))).status_code == 401


def test_an_upload_of_another_repository_is_none(world: World, http: httpx.Client) -> None:
    begun = http.post(UPLOADS.format(PRIVATE), headers=basic("will")).headers["location"]
    session = begun.rpartition("/")[2]
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        elsewhere = f"{UPLOADS.format('other/app')}{session}?digest={digest(b'')}"
        assert http.request(method, elsewhere, headers=basic("otto")).status_code == 404
        assert http.request(method, begun, headers=basic("otto")).status_code == 403
    assert http.get(begun, headers=basic("will")).status_code == 204


def test_58_the_catalog_s_pages_are_exact(world: World, http: httpx.Client) -> None:
    with world.http(**basic("root")) as root:
        for name in ("hidden/a", "hidden/b", "open/a", "open/b", "team/z"):
            Oci(root, name).image("latest", b"layer")
    rita: Mapping[str, str] = basic("rita")
    seen: list[str] = []
    path = "/v2/_catalog?n=2"
    while path:
        answer = http.get(path, headers=dict(rita))
        page = answer.json()["repositories"]
        seen += page
        path = answer.links["next"]["url"] if "next" in answer.links else ""
        assert len(page) == 2 or not path
    assert seen == sorted(seen)
    assert {"open/a", "open/b", "team/z", PUBLIC, PRIVATE} <= set(seen)
    assert not any(name.startswith(("hidden", "secret")) for name in seen)

"""Administering over HTTP: who may what, what two do at once, and bodies that want more than they say."""

import itertools
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.protocols.auth.test_matrix import NEEDS, A, paths
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, basic, bearer, code

from cnr.auth.access_control import AccessControl
from cnr.domain.account import UserName
from cnr.registry.registry import Registry

_numbers = itertools.count(1)
ROOT = basic("root")


def new(kind: str) -> str:
    return f"{kind}{next(_numbers)}"


@pytest.fixture
def user(http: httpx.Client) -> str:
    """A user without roles."""
    name = new("person")
    assert http.post(A + "/users", json={"name": name, "password": PASSWORD}, headers=ROOT).status_code == 200
    return name


def ask(http: httpx.Client, method: str, path: str, who: Mapping[str, str] = ROOT, **rest: Any) -> httpx.Response:
    headers = {**who, **rest.pop("headers", {})}
    return http.request(method, A + path, headers=headers, **rest)


def test_a_user_s_life(http: httpx.Client, user: str) -> None:
    shown = ask(http, "GET", f"/users/{user}")
    assert shown.json()["roles"] == {}
    assert shown.headers["etag"] == f'"{shown.json()["version"]}"'
    assert shown.headers["cache-control"] == "no-store"
    assert "password" not in shown.text
    assert "argon2" not in shown.text
    assert ask(http, "PUT", f"/users/{user}/roles/team", json={"role": "reader"}).json()["role"] == "reader"
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=basic(user)).status_code == 200
    assert (
        ask(http, "GET", "/roles/team").json().count({"kind": "user", "name": user, "path": "team", "role": "reader"})
    )
    assert ask(http, "DELETE", f"/users/{user}/roles/team").status_code == 200
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=basic(user)).status_code == 403
    assert ask(http, "PATCH", f"/users/{user}", json={"password": "another password"}).status_code == 200
    assert ask(http, "GET", "/me", basic(user)).status_code == 401
    assert ask(http, "GET", "/me", basic(user, "another password")).json()["name"] == user
    assert ask(http, "DELETE", f"/users/{user}").json() == {"name": user, "status": "deleted"}
    assert ask(http, "GET", "/me", basic(user, "another password")).status_code == 401
    assert ask(http, "GET", f"/users/{user}").status_code == 404


def test_a_group_s_life(http: httpx.Client, user: str) -> None:
    group = new("group")
    assert ask(http, "POST", "/groups", json={"name": group}).json()["roles"] == {}
    assert ask(http, "PUT", f"/groups/{group}/roles/team/app", json={"role": "reader"}).status_code == 200
    assert ask(http, "PUT", f"/groups/{group}/members/{user}").json()["groups"] == [group]
    assert ask(http, "GET", f"/groups/{group}").json()["members"] == [user]
    me = ask(http, "GET", "/me", basic(user)).json()
    assert (me["groups"], me["roles"], me["kind"]) == ([group], {"team/app": "reader"}, "user")
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=basic(user)).status_code == 200
    assert ask(http, "DELETE", f"/groups/{group}").status_code == 200
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=basic(user)).status_code == 403
    assert ask(http, "PUT", f"/groups/{group}/members/{user}").status_code == 404


def test_lists_come_in_pages(http: httpx.Client, user: str) -> None:
    found: list[str] = []
    address = A + "/users?limit=2"
    while address:
        page = http.get(address, headers=ROOT)
        assert len(page.json()) <= 2
        found += [each["name"] for each in page.json()]
        address = page.links.get("next", {}).get("url", "")
    assert found == sorted(found)
    assert {"root", "rita", user} <= set(found)
    for wrong in ("limit=0", "limit=x", "limit=1001", "after=%00", "after=%C3%A9", "after=" + "x" * 65):
        assert ask(http, "GET", f"/users?{wrong}").status_code == 400


BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "role": "admin"}),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "admin": "true"}),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "admin": 1}),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "grants": {"team": "admin"}}),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "born": "x"}),
    ("POST", "/users", {"name": ["eve"], "password": PASSWORD}),
    ("POST", "/users", {"name": "eve", "password": {"$ne": None}}),
    ("POST", "/users", {"name": "eve", "password": "short"}),
    ("POST", "/users", {"name": "eve"}),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "bcrypt": "$2b$05$" + "." * 53}),
    ("POST", "/users", {"name": "eve", "bcrypt": "$argon2id$v=19$m=8,t=1,p=1$YQ$YQ"}),
    ("POST", "/users", {"name": "eve", "bcrypt": "$2b$05$" + "." * 53, "admin": True}),
    ("POST", "/users", {"name": "Eve", "password": PASSWORD}),
    ("POST", "/users", {"name": "../eve", "password": PASSWORD}),
    ("POST", "/users", [{"name": "eve", "password": PASSWORD}]),
    ("POST", "/users", None),
    ("PATCH", "/users/rita", {}),
    ("PATCH", "/users/rita", {"admin": None}),
    ("PATCH", "/users/rita", {"admin": True, "name": "root"}),
    ("PUT", "/users/rita/roles/team", {"role": "owner"}),
    ("PUT", "/users/rita/roles/team", {"role": ["admin"]}),
    ("PUT", "/users/rita/roles/team", {"role": "admin", "path": ""}),
    ("PUT", "/users/rita/roles/Team", {"role": "admin"}),
    ("PUT", "/users/rita/roles/team/*", {"role": "admin"}),
    ("POST", "/tokens", {"name": "ci", "scopes": {}}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"*": ["pull"]}}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": []}}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": ["own"]}}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": "pull"}}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": ["pull"]}, "days": 0}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": ["pull"]}, "days": "9"}),
    ("POST", "/tokens", {"name": "ci", "scopes": {"team/*": ["pull"]}, "owner": "rita"}),
    ("PATCH", "/policies/team", {"visibility": "internal"}),
    ("PATCH", "/policies/team", {"below": False}),
    ("PATCH", "/policies/team", {"force": 1}),
    ("PATCH", "/policies/team", {"untagged_after": -1}),
    ("PATCH", "/policies/team", {"delete_role": "writer"}),
    ("PATCH", "/policies/team", {"channels": {"sta ble": "admin"}}),
    ("PATCH", "/policies/team", {"channels": {"stable": "reader"}}),
    ("PATCH", "/policies/team", {"formats": ["he/lm"]}),
    ("PATCH", "/policies/team", {}),
    ("POST", "/signing-keys", {"drop_others": "yes"}),
]


@pytest.mark.parametrize(("method", "path", "body"), BODIES)
def test_a_body_that_is_not_meant_so(http: httpx.Client, method: str, path: str, body: Any) -> None:
    """Source: shared design, "privilege at signup": fields that nobody asked for, and other types."""
    before = ask(http, "GET", "/users").json(), ask(http, "GET", "/policies/team").json()
    refused = ask(http, method, path, json=body)
    assert (refused.status_code, code(refused)) == (400, "invalid-usage")
    assert PASSWORD not in refused.text
    assert (ask(http, "GET", "/users").json(), ask(http, "GET", "/policies/team").json()) == before


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "admin=true", '{"name": "\ud800"}', "null", "\0"])
def test_what_is_no_json(http: httpx.Client, text: str) -> None:
    body = text.encode("utf-8", "surrogatepass")
    refused = ask(http, "POST", "/users", content=body, headers={"Content-Type": "application/json"})
    assert refused.status_code in (400, 413)


def test_query_and_form_say_nothing(http: httpx.Client, user: str) -> None:
    """Only the body counts, and only as JSON."""
    assert ask(http, "PATCH", f"/users/{user}?admin=true", json={"password": PASSWORD}).json()["admin"] is False
    assert ask(http, "PATCH", f"/users/{user}", data={"admin": "true"}).status_code == 400


def test_versions(http: httpx.Client, user: str) -> None:
    seen = ask(http, "GET", f"/users/{user}").headers["etag"]
    path = f"/users/{user}/roles/team"
    assert ask(http, "PUT", path, json={"role": "reader"}, headers={"If-Match": '"other"'}).status_code == 412
    assert ask(http, "PUT", path, json={"role": "reader"}, headers={"If-Match": seen}).status_code == 200
    late = ask(http, "PATCH", f"/users/{user}", json={"admin": True}, headers={"If-Match": seen})
    assert (late.status_code, code(late)) == (412, "precondition-failed")
    assert ask(http, "DELETE", f"/users/{user}", headers={"If-Match": seen}).status_code == 412
    assert ask(http, "DELETE", f"/users/{user}", headers={"If-Match": f"W/{seen}"}).status_code == 412
    assert (
        ask(
            http, "DELETE", f"/users/{user}", headers={"If-Match": f'"x", {late.json()["error"]["details"]["version"]}'}
        ).status_code
        == 412
    )
    now = ask(http, "GET", f"/users/{user}").headers["etag"]
    assert ask(http, "DELETE", f"/users/{user}", headers={"If-Match": f'"x", {now}'}).status_code == 200
    assert ask(http, "DELETE", f"/users/{user}", headers={"If-Match": "*"}).status_code == 404


def test_a_policy_s_version(http: httpx.Client) -> None:
    path = "/policies/versioned/app"
    empty = ask(http, "GET", path)
    assert (empty.headers["etag"], empty.json()["set"]) == ('""', {})
    first = ask(http, "PATCH", path, json={"visibility": "public"}, headers={"If-Match": '""'})
    assert first.json()["set"] == {"visibility": "public"}
    assert ask(http, "PATCH", path, json={"visibility": "private"}, headers={"If-Match": '""'}).status_code == 412
    taken = ask(http, "PATCH", path, json={"visibility": None}, headers={"If-Match": first.headers["etag"]})
    assert taken.json()["set"] == {}


def test_two_change_one_user_at_once(http: httpx.Client, world: World, user: str) -> None:
    """Of those who say what they saw, one wins each time, and nothing that was acknowledged is lost."""

    def add(number: int) -> None:
        with world.http(**ROOT) as own:
            for _ in range(100):
                seen = own.get(f"{A}/users/{user}").headers["etag"]
                path = f"{A}/users/{user}/roles/race/n{number}"
                answer = own.put(path, json={"role": "reader"}, headers={"If-Match": seen})
                if answer.status_code == 200:
                    return
                assert answer.status_code == 412
        raise AssertionError("never won")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(8)))
    assert set(ask(http, "GET", f"/users/{user}").json()["roles"]) == {f"race/n{at}" for at in range(8)}


@pytest.fixture
def team_admin() -> Mapping[str, str]:
    return basic("tess")


def test_who_administers_a_namespace(http: httpx.Client, user: str, team_admin: Mapping[str, str]) -> None:
    given = {"json": {"role": "admin"}}
    assert ask(http, "PUT", f"/users/{user}/roles/team", team_admin, **given).status_code == 200
    assert ask(http, "PUT", f"/users/{user}/roles/team/app", team_admin, **given).status_code == 200
    assert ask(http, "DELETE", f"/users/{user}/roles/team", team_admin).status_code == 200
    for path in ("open", "other", "teams", "tea", "library/team", "team-app"):
        assert ask(http, "PUT", f"/users/{user}/roles/{path}", team_admin, **given).status_code == 403
        assert ask(http, "GET", f"/policies/{path}", team_admin).status_code == 403
        assert ask(http, "GET", f"/roles/{path}", team_admin).status_code == 403
    assert {each["path"].partition("/")[0] for each in ask(http, "GET", "/roles/team", team_admin).json()} == {"team"}
    assert ask(http, "PATCH", "/policies/team/x", team_admin, json={"visibility": "private"}).status_code == 200
    for method, path in (("GET", "/users"), ("GET", f"/users/{user}"), ("GET", "/groups"), ("GET", "/roles")):
        assert ask(http, method, path, team_admin).status_code == 403
    assert ask(http, "PATCH", f"/users/{user}", team_admin, json={"admin": True}).status_code == 403
    assert ask(http, "POST", "/signing-keys", team_admin, json={}).status_code == 403


def token(http: httpx.Client, who: Mapping[str, str], scopes: dict[str, list[str]], **fields: Any) -> httpx.Response:
    return ask(http, "POST", "/tokens", who, json={"name": "ci", "scopes": scopes, **fields})


def test_a_token_has_no_more_rights_than_its_maker(http: httpx.Client, user: str) -> None:
    role = f"/users/{user}/roles/team"
    assert token(http, basic(user), {"team/*": ["pull"]}).status_code == 403
    ask(http, "PUT", role, json={"role": "writer"})
    assert token(http, basic(user), {"team/*": ["pull", "delete"]}).status_code == 403
    assert token(http, basic(user), {"team/*": ["pull"], "open/*": ["push"]}).status_code == 403
    assert token(http, basic(user), {"team/*": ["pull"]}, independent=True).status_code == 403
    made = token(http, basic(user), {"team/*": ["pull", "push"]}).json()
    robot = bearer(made["token"])
    show, other = f"/api/v1/packages/{PRIVATE}", token(http, robot, {"team/*": ["pull"]})
    assert (http.get(show, headers=robot).status_code, other.status_code) == (200, 403)
    yank = f"/api/v1/packages/{PRIVATE}/9.9.9/yank"
    assert http.post(yank, json={"reason": "x"}, headers=robot).status_code == 404
    # what the maker loses, the token loses; also one that was exchanged before
    session = bearer(world_token(http, made["token"]))
    ask(http, "PUT", role, json={"role": "reader"})
    assert http.post(yank, json={"reason": "x"}, headers=robot).status_code == 403
    assert (http.get(show, headers=robot).status_code, http.get(show, headers=session).status_code) == (200, 200)
    ask(http, "DELETE", role)
    assert (http.get(show, headers=robot).status_code, http.get(show, headers=session).status_code) == (403, 403)
    ask(http, "PUT", role, json={"role": "reader"})
    assert http.get(show, headers=robot).status_code == 200
    ask(http, "DELETE", f"/users/{user}")
    assert (http.get(show, headers=robot).status_code, http.get(show, headers=session).status_code) == (401, 401)
    # a later user of the same name has not made it
    ask(http, "POST", "/users", json={"name": user, "password": PASSWORD})
    ask(http, "PUT", role, json={"role": "reader"})
    assert http.get(show, headers=robot).status_code == 401
    assert ask(http, "GET", f"/tokens/{made['id']}", basic(user)).status_code == 404


def world_token(http: httpx.Client, robot: str) -> str:
    scope = {"service": "x", "scope": f"repository:{PRIVATE}:pull,push"}
    return str(http.get("/token", params=scope, headers=basic("any", robot)).json()["token"])


def test_an_independent_token_outlives_its_maker(http: httpx.Client, user: str) -> None:
    ask(http, "PATCH", f"/users/{user}", json={"admin": True})
    made = token(http, basic(user), {"team/*": ["pull"]}, independent=True, days=None).json()
    assert made["expires_at"] is None
    ask(http, "DELETE", f"/users/{user}")
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=bearer(made["token"])).status_code == 200
    shown = ask(http, "GET", f"/tokens/{made['id']}")
    assert (shown.json()["owner"], shown.json()["created_by"]) == (None, user)
    assert made["token"] not in shown.text
    assert ask(http, "DELETE", f"/tokens/{made['id']}", headers={"If-Match": '"x"'}).status_code == 412
    assert ask(http, "DELETE", f"/tokens/{made['id']}", headers={"If-Match": shown.headers["etag"]}).status_code == 200
    assert http.get(f"/api/v1/packages/{PRIVATE}", headers=bearer(made["token"])).status_code == 401


def test_who_knows_of_a_token(http: httpx.Client, user: str, team_admin: Mapping[str, str]) -> None:
    ask(http, "PUT", f"/users/{user}/roles/team", json={"role": "reader"})
    ask(http, "PUT", f"/users/{user}/roles/other", json={"role": "reader"})
    inside = token(http, basic(user), {"team/*": ["pull"]}).json()["id"]
    across = token(http, basic(user), {"team/*": ["pull"], "other/*": ["pull"]}).json()["id"]
    known = {"own": basic(user), "team": team_admin, "other": basic("otto"), "nobody": basic("wren"), "root": ROOT}
    expected = {"own": {inside, across}, "team": {inside}, "other": set(), "nobody": set(), "root": {inside, across}}
    for who, headers in known.items():
        listed = {each["id"] for each in ask(http, "GET", "/tokens", headers).json()} & {inside, across}
        assert listed == expected[who], who
        for each in {inside, across} - listed:
            missing = ask(http, "GET", "/tokens/" + "0" * 16, headers)
            refused = ask(http, "GET", f"/tokens/{each}", headers)
            assert (refused.status_code, refused.text) == (missing.status_code, missing.text)
            assert ask(http, "DELETE", f"/tokens/{each}", headers).status_code == 404
    assert ask(http, "DELETE", f"/tokens/{inside}", team_admin).status_code == 200
    assert ask(http, "DELETE", f"/tokens/{across}", basic(user)).status_code == 200


def test_a_robot_that_administers(http: httpx.Client, user: str, team_admin: Mapping[str, str]) -> None:
    robot = bearer(token(http, team_admin, {"team/*": ["admin"]}).json()["token"])
    assert ask(http, "PUT", f"/users/{user}/roles/team", robot, json={"role": "reader"}).status_code == 200
    assert ask(http, "PUT", f"/users/{user}/roles/open", robot, json={"role": "reader"}).status_code == 403
    assert ask(http, "GET", "/me", robot).json()["scopes"] == {"team/*": ["admin"]}
    body = {"old": PASSWORD, "new": "another password"}
    assert ask(http, "PUT", "/me/password", robot, json=body).status_code == 403


def test_one_s_own_password(http: httpx.Client, user: str) -> None:
    body = {"old": "wrong password", "new": "another password"}
    assert ask(http, "PUT", "/me/password", basic(user), json=body).status_code == 403
    assert ask(http, "PUT", "/me/password", basic(user), json={"new": "another password"}).status_code == 400
    assert ask(http, "PUT", "/me/password", basic(user), json={"old": PASSWORD, "new": "short"}).status_code == 400
    assert ask(http, "PUT", "/me/password", basic(user), json={**body, "old": PASSWORD}).status_code == 200
    assert ask(http, "GET", "/me", basic(user)).status_code == 401
    assert ask(http, "GET", "/me", basic(user, "another password")).status_code == 200


ADMIN_ROUTES = [(method, path) for method, path in NEEDS if path.startswith(A)]


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_a_bearer_token_of_an_administrator_administers_nothing(
    world: World, http: httpx.Client, method: str, path: str
) -> None:
    """It was made for what clients of other protocols do, and they keep it in places of their own."""
    held = bearer(world.token(ROOT, "repository:team/app:pull,push,delete,admin,*", "registry:catalog:*"))
    for address in paths(path, PRIVATE):
        assert http.request(method, address, headers=held).status_code == 403


@pytest.mark.parametrize(("method", "path"), ADMIN_ROUTES)
def test_a_page_of_another_site_administers_nothing(http: httpx.Client, method: str, path: str) -> None:
    for header in ({"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Origin": "https://evil.test"}):
        for address in paths(path, PRIVATE):
            assert http.request(method, address, headers={**ROOT, **header}).status_code == 403


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A registry of two workers, with root as its only administrator."""
    world = World.start(tmp_path_factory.mktemp("alone"), workers=2)
    yield world
    world.server.kill()


def test_the_last_administrator_stays(alone: World) -> None:
    with alone.http() as http:
        for method, body in (("DELETE", None), ("PATCH", {"admin": False})):
            refused = ask(http, method, "/users/root", json=body)
            assert (refused.status_code, code(refused)) == (409, "resource-in-use")
        assert ask(http, "PATCH", "/users/rita", json={"admin": True}).status_code == 200
        assert ask(http, "PATCH", "/users/root", json={"admin": False}).status_code == 200
        assert ask(http, "PATCH", "/users/rita", basic("rita"), json={"admin": False}).status_code == 409
        assert ask(http, "PATCH", "/users/root", basic("rita"), json={"admin": True}).status_code == 200


def test_two_administrators_take_it_from_one_another(alone: World) -> None:
    """At the same moment, through two servers: one at least is left, and each answer is true."""

    async def admins(registry: Registry, control: AccessControl) -> list[str]:
        return [name async for name, record in control.accounts.users() if record.admin]

    async def again(registry: Registry, control: AccessControl) -> None:
        for name in ("root", "rita"):
            if await control.accounts.user(name) is None:
                await control.accounts.add_user(UserName(name), await control.passwords.hash(PASSWORD))
            await control.accounts.set_admin(UserName(name), True)

    def demote(pair: tuple[str, str]) -> int:
        by, whom = pair
        with alone.http(**basic(by)) as http:
            http.get(A + "/me")
            return http.patch(f"{A}/users/{whom}", json={"admin": False}).status_code

    def remove(pair: tuple[str, str]) -> int:
        by, whom = pair
        with alone.http(**basic(by)) as http:
            http.get(A + "/me")
            return http.delete(f"{A}/users/{whom}").status_code

    for change in (demote, remove) * 5:
        alone.on_store(again)
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(change, [("root", "rita"), ("rita", "root")]))
        left = alone.on_store(admins)
        assert left, answers
        assert set(answers) <= {200, 401, 403, 409}
        assert len(left) == 2 - answers.count(200), answers


def test_a_server_without_accounts(tmp_path_factory: pytest.TempPathFactory) -> None:
    from tests.protocols.cnr.server import Server

    server = Server(tmp_path_factory.mktemp("open")).start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            for method, path in ADMIN_ROUTES:
                for address in paths(path, PRIVATE):
                    refused = http.request(method, address)
                    assert (refused.status_code, code(refused)) == (403, "forbidden")
                    assert "no accounts" in refused.text
    finally:
        server.kill()

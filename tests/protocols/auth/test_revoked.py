"""What was taken back is gone with the next request, on every server, for whatever session is open."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping

import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, basic, bearer

from cnr.auth.access_control import AccessControl
from cnr.domain.account import GroupName, Path, UserName, parse_rights, parse_scope
from cnr.registry.registry import Registry
from cnr.store.records import PolicyRecord

MANIFEST = f"/v2/{PRIVATE}/manifests/1.0.0"
SHOW = f"/api/v1/packages/{PRIVATE}"
_numbers = itertools.count(1)


@pytest.fixture(params=["direct", "group"])
def user(request: pytest.FixtureRequest, world: World) -> str:
    """A user who may pull, by a role of his own or by that of his group."""
    name = f"user{next(_numbers)}"

    async def make(registry: Registry, control: AccessControl) -> None:
        accounts = control.accounts
        await accounts.add_user(UserName(name), await control.passwords.hash(PASSWORD))
        if request.param == "direct":
            await accounts.grant("user", name, Path("team"), "reader")
        else:
            await accounts.add_group(GroupName(f"g-{name}"))
            await accounts.grant("group", f"g-{name}", Path("team/app"), "reader")
            await accounts.join(UserName(name), GroupName(f"g-{name}"))

    world.on_store(make)
    return name


Change = Callable[[AccessControl, str], Awaitable[None]]


async def _password(control: AccessControl, name: str) -> None:
    await control.accounts.set_password(UserName(name), await control.passwords.hash("another password"))


async def _remove(control: AccessControl, name: str) -> None:
    await control.accounts.remove_user(UserName(name))


async def _again(control: AccessControl, name: str) -> None:
    """Another user of the same name and password, without the roles."""
    await control.accounts.remove_user(UserName(name))
    await control.accounts.add_user(UserName(name), await control.passwords.hash(PASSWORD))


async def _grant(control: AccessControl, name: str) -> None:
    await control.accounts.grant("user", name, Path("team"), None)
    if await control.accounts.group(f"g-{name}"):
        await control.accounts.leave(UserName(name), GroupName(f"g-{name}"))


async def _group(control: AccessControl, name: str) -> None:
    await control.accounts.grant("user", name, Path("team"), None)
    if await control.accounts.group(f"g-{name}"):
        await control.accounts.remove_group(GroupName(f"g-{name}"))
        # one of the same name, with the same role, has none of the old one's members
        await control.accounts.add_group(GroupName(f"g-{name}"))
        await control.accounts.grant("group", f"g-{name}", Path("team"), "reader")


@pytest.mark.parametrize("change", [_password, _remove, _again, _grant, _group])
def test_a_user_s_session_ends(world: World, http: httpx.Client, user: str, change: Change) -> None:
    form = {"grant_type": "password", "username": user, "password": PASSWORD}
    refresh = http.post("/token", data=form).json()["refresh_token"]
    login = http.post("/api/v1/users/login", json={"user": {"username": user, "password": PASSWORD}})
    sessions: list[Mapping[str, str]] = [
        basic(user),
        bearer(world.token(basic(user), f"repository:{PRIVATE}:pull")),
        {"Authorization": login.json()["token"]},
    ]
    for headers in sessions:
        for path in (MANIFEST, SHOW):
            assert http.get(path, headers=dict(headers)).status_code == 200
    world.on_store(lambda registry, control: change(control, user))
    for headers in sessions:
        for path in (MANIFEST, SHOW):
            assert http.get(path, headers=dict(headers)).status_code in (401, 403)
        assert PRIVATE not in http.get("/api/v1/packages", headers=dict(headers)).text
    if change in (_password, _remove, _again):
        data = {"grant_type": "refresh_token", "refresh_token": refresh}
        assert http.post("/token", data=data).status_code == 401
        assert change is _again or http.get("/v2/", headers=basic(user)).status_code == 401


def test_a_robot_token_ends(world: World, http: httpx.Client) -> None:
    async def make(registry: Registry, control: AccessControl) -> tuple[str, str]:
        scopes = {parse_scope("team/*"): parse_rights(["pull", "push"])}
        return await control.tokens.make("robot", scopes, lifetime_s=60, created_by="test")

    token_id, token = world.on_store(make)
    session = bearer(world.token(basic("anything", token), f"repository:{PRIVATE}:pull"))
    for headers in (bearer(token), basic("x", token), session):
        assert http.get(MANIFEST, headers=headers).status_code == 200

    async def used(registry: Registry, control: AccessControl) -> int | None:
        for _ in range(100):
            if (at := await control.tokens.last_used(token_id)) is not None:
                return at
            await asyncio.sleep(0.05)
        return None

    assert world.on_store(used) is not None
    world.on_store(lambda registry, control: control.tokens.remove(token_id))
    for headers in (bearer(token), basic("x", token), session):
        assert http.get(MANIFEST, headers=headers).status_code == 401


def test_what_becomes_private_is_private(world: World, http: httpx.Client) -> None:
    async def show(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change("team/app", lambda _: PolicyRecord(visibility="public"))

    async def hide(registry: Registry, control: AccessControl) -> None:
        await registry.policies.change("team/app", lambda _: PolicyRecord(visibility="private"))

    world.on_store(show)
    session = bearer(world.token({}, f"repository:{PRIVATE}:pull"))
    for headers in ({}, session):
        assert http.get(MANIFEST, headers=headers).status_code == 200
    assert PRIVATE in http.get("/api/v1/packages").text
    world.on_store(hide)
    for headers in ({}, session):
        assert http.get(MANIFEST, headers=headers).status_code == 401
    assert PRIVATE not in http.get("/api/v1/packages").text


def test_keys_are_rotated_without_an_interruption(world: World, http: httpx.Client) -> None:
    before = bearer(world.token(basic("rita"), f"repository:{PRIVATE}:pull"))
    world.on_store(lambda registry, control: control.bearers.rotate())
    after = bearer(world.token(basic("rita"), f"repository:{PRIVATE}:pull"))
    for headers in (before, after):
        assert http.get(MANIFEST, headers=headers).status_code == 200

"""A followed htpasswd file: who is in it logs in, who is taken out of it does not, on every server within seconds."""

import time
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, PRIVATE, World, basic, bearer

from cnr.auth.access_control import AccessControl
from cnr.auth.htpasswd import CHECK_S
from cnr.domain.account import GroupName, UserName
from cnr.domain.account import Path as Place
from cnr.registry.registry import Registry

ME = "/api/v1/admin/me"
SHOW = f"/api/v1/packages/{PRIVATE}"
PATIENCE_S = 60
"""For a machine that has much else to do; a change is seen within CHECK_S."""


def line(name: str, password: str = PASSWORD) -> str:
    return f"{name}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode().replace('$2b$', '$2y$')}\n"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("htpasswd") / "users"
    file.write_text(line("fay") + line("rita", "of the file") + "broken\n")
    return file


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory, file: Path) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp("followed"), workers=2, CNR_HTPASSWD=str(file))

    async def group(registry: Registry, control: AccessControl) -> None:
        await control.accounts.add_group(GroupName("htpasswd"))
        await control.accounts.grant("group", "htpasswd", Place("team"), "reader")

    world.on_store(group)
    yield world
    world.server.kill()


def until(http: httpx.Client, status: int, who: dict[str, str], path: str = ME) -> None:
    """Wait until several answers in a row, of both workers most likely, have this status."""
    end, seen = time.monotonic() + PATIENCE_S, 0
    while seen < 8:
        assert time.monotonic() < end, f"no {status} in {PATIENCE_S} s"
        with httpx.Client(base_url=http.base_url) as fresh:
            seen = seen + 1 if fresh.get(path, headers=who).status_code == status else 0
        if not seen:
            time.sleep(CHECK_S / 10)


def test_who_is_in_the_file_logs_in(followed: World) -> None:
    with followed.http() as http:
        me = http.get(ME, headers=basic("fay")).json()
        assert (me["name"], me["admin"], me["roles"]) == ("fay", False, {"team": "reader"})
        assert http.get(ME, headers=basic("fay", "wrong")).status_code == 401
        assert http.get(SHOW, headers=basic("fay")).status_code == 200
        held = bearer(followed.token(basic("fay"), f"repository:{PRIVATE}:pull,push"))
        assert http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=held).status_code == 200
        assert http.post(f"/v2/{PRIVATE}/blobs/uploads/", headers=held).status_code == 401
        body = {"old": PASSWORD, "new": "another password"}
        assert http.put("/api/v1/admin/me/password", json=body, headers=basic("fay")).status_code == 403


def test_records_win_over_the_file(followed: World) -> None:
    with followed.http() as http:
        assert http.get(ME, headers=basic("rita", "of the file")).status_code == 401
        assert http.get(ME, headers=basic("rita")).json()["roles"] == {"team": "reader"}


def test_who_is_taken_out_is_out(followed: World, file: Path) -> None:
    with followed.http() as http:
        before = file.read_text()
        file.write_text(before + line("gus"))
        until(http, 200, basic("gus"))
        held = bearer(followed.token(basic("gus"), f"repository:{PRIVATE}:pull"))
        form = {"grant_type": "password", "username": "gus", "password": PASSWORD}
        refresh = {
            "grant_type": "refresh_token",
            "refresh_token": http.post("/token", data=form).json()["refresh_token"],
        }
        scopes = {"name": "ci", "scopes": {"team/*": ["pull"]}}
        robot = bearer(http.post("/api/v1/admin/tokens", json=scopes, headers=basic("gus")).json()["token"])
        manifest = f"/v2/{PRIVATE}/manifests/1.0.0"
        assert http.get(manifest, headers=held).status_code == http.get(SHOW, headers=robot).status_code == 200
        assert http.post("/token", data=refresh).status_code == 200
        file.write_text(before)
        until(http, 401, basic("gus"))
        until(http, 401, held, manifest)
        until(http, 401, robot, SHOW)
        assert http.post("/token", data=refresh).status_code == 401


def test_another_password_ends_sessions(followed: World, file: Path) -> None:
    with followed.http() as http:
        before = file.read_text()
        file.write_text(before + line("hal"))
        until(http, 200, basic("hal"))
        held = bearer(followed.token(basic("hal"), f"repository:{PRIVATE}:pull"))
        other = file.with_name("other")
        other.write_text(before + line("hal", "another password"))
        other.replace(file)
        until(http, 401, basic("hal"))
        until(http, 401, held, f"/v2/{PRIVATE}/manifests/1.0.0")
        until(http, 200, basic("hal", "another password"))


def test_a_record_of_the_same_name_ends_the_file_s_sessions(followed: World, file: Path) -> None:
    with followed.http() as http:
        file.write_text(file.read_text() + line("ivy"))
        until(http, 200, basic("ivy"))
        held = bearer(followed.token(basic("ivy"), f"repository:{PRIVATE}:pull"))
        body = {"name": "ivy", "password": "another password"}
        assert http.post("/api/v1/admin/users", json=body, headers=basic("root")).status_code == 200
        assert http.get(ME, headers=basic("ivy")).status_code == 401
        assert http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=held).status_code == 401
        assert http.get(ME, headers=basic("ivy", "another password")).json()["roles"] == {}


def test_a_file_that_is_gone_lets_nobody_in(followed: World, file: Path) -> None:
    with followed.http() as http:
        until(http, 200, basic("fay"))
        kept = file.read_bytes()
        file.unlink()
        until(http, 401, basic("fay"))
        assert http.get(ME, headers=basic("root")).status_code == 200
        file.write_bytes(kept)
        until(http, 200, basic("fay"))


def test_a_server_does_not_start_without_its_file(tmp_path: Path) -> None:
    with pytest.raises(BaseException, match="cannot be read"):
        World.start(tmp_path, CNR_HTPASSWD=str(tmp_path / "none"))


def test_a_bcrypt_hash_becomes_argon2id(world: World, http: httpx.Client) -> None:
    """At the first right password, and no session that this login begins is hurt by it."""

    async def make(registry: Registry, control: AccessControl) -> None:
        await control.accounts.add_user(UserName("old"), line("old").strip().partition(":")[2])
        await control.accounts.grant("user", "old", Place("team"), "reader")

    async def stored(registry: Registry, control: AccessControl) -> tuple[str, str]:
        found = await control.accounts.user("old")
        assert found is not None
        return found.record.password[:9], found.record.password_id

    world.on_store(make)
    before = world.on_store(stored)
    assert http.get(ME, headers=basic("old", "wrong")).status_code == 401
    assert world.on_store(stored) == before
    held = bearer(world.token(basic("old"), f"repository:{PRIVATE}:pull"))
    assert http.get(f"/v2/{PRIVATE}/manifests/1.0.0", headers=held).status_code == 200
    assert world.on_store(stored) == ("$argon2id", before[1])
    assert http.get(ME, headers=basic("old")).status_code == 200

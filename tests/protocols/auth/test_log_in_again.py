"""Wrong passwords make the next one wait, on every protocol; a right one that was shown before never waits."""

import base64
from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.auth.world import PASSWORD, World, basic, code

LOGIN = "/cnr/api/v1/users/login"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("again")
    world = World.start(folder, entry="serve", CNR_LOGIN_FAILURES="3", CNR_TRUSTED_PROXIES="127.0.0.1")
    yield world
    world.server.kill()


def fail(http: httpx.Client, name: str) -> httpx.Response:
    """The first answer to a wrong password that is no 401."""
    for _ in range(10):
        answer = http.get("/v2/", headers=basic(name, "wrong"))
        if answer.status_code != 401:
            return answer
    raise AssertionError("nobody has to wait")


WAYS = ("oci", "cnr", "helm", "token", "form", "login")


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_show_a_password_waits(way: str, world: World) -> None:
    address = {"X-Forwarded-For": f"192.0.2.{10 + WAYS.index(way)}"}
    with world.http(**address) as http:

        def ask(password: str) -> httpx.Response:
            header = basic("rita", password)
            match way:
                case "oci":
                    return http.get("/v2/team/app/tags/list", headers=header)
                case "cnr":
                    return http.get("/cnr/api/v1/packages/team/app", headers=header)
                case "helm":
                    return http.get("/helm/team/index.yaml", headers=header)
                case "token":
                    return http.get("/token", headers=header)
                case "form":
                    fields = {"grant_type": "password", "username": "rita", "password": password, "service": "x"}
                    return http.post("/token", data=fields)
                case _:
                    return http.post(LOGIN, json={"user": {"username": "rita", "password": password}})

        assert [ask("wrong").status_code for _ in range(3)] == [401] * 3
        answer = ask("wrong")
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert "too many wrong passwords" in answer.text


def test_guessing_the_old_password_for_a_new_one_waits(world: World) -> None:
    with world.http(**{"X-Forwarded-For": "192.0.2.99"}) as http:
        assert http.get("/v2/", headers=basic("tess")).status_code == 200

        def change(old: str) -> httpx.Response:
            body = {"old": old, "new": "another password"}
            return http.put("/api/v1/admin/me/password", json=body, headers=basic("tess"))

        assert [change("wrong password").status_code for _ in range(3)] == [403] * 3
        assert change("wrong password").status_code == 429
        assert change(PASSWORD).status_code == 200  # it was right just now, so it never waits


def test_a_user_at_work_is_not_locked_out(world: World) -> None:
    with world.http() as here:
        assert here.get("/v2/", headers=basic("will")).status_code == 200
        answer = fail(here, "will")
        assert code(answer) == "TOOMANYREQUESTS"
        # neither there nor from the very address that guesses
        assert here.get("/v2/", headers=basic("will")).status_code == 200
    with world.http(**{"X-Forwarded-For": "203.0.113.9"}) as there:
        assert there.get("/v2/", headers=basic("will")).status_code == 200


def test_names_that_nobody_has_wait_alike(world: World) -> None:
    with world.http(**{"X-Forwarded-For": "203.0.113.77"}) as http:
        assert fail(http, "nobody-at-all").status_code == 429
        assert fail(http, "no/name" * 30).status_code == 429


def test_the_right_password_waits_too_where_it_is_new(world: World) -> None:
    with world.http(**{"X-Forwarded-For": "203.0.113.78"}) as http:
        fail(http, "otto")
        assert http.get("/v2/", headers=basic("otto")).status_code == 429
    with world.http(**{"X-Forwarded-For": "203.0.113.79"}) as http:
        assert http.get("/v2/", headers=basic("otto")).status_code == 200


def test_many_at_once_gain_nothing(world: World) -> None:
    with world.http(**{"X-Forwarded-For": "203.0.113.80"}) as http:
        words = [base64.b64encode(f"root:{PASSWORD}{n}".encode()).decode() for n in range(40)]
        found = [http.get("/v2/", headers={"Authorization": f"Basic {word}"}).status_code for word in words]
        assert found.count(401) <= 5

"""Every route of every protocol, asked by everybody: what the audit log says of it."""

import re

import pytest
from tests.protocols.audit.lines import ask
from tests.protocols.auth.test_matrix import NEEDS, ROUTES, harmless, paths
from tests.protocols.auth.world import PRIVATE, World

LOGINS = {("GET", "/token"), ("POST", "/token"), ("POST", "/api/v1/users/login"), ("GET", "/v2/")}
WHO = {
    "anonymous": {"kind": "anonymous"},
    "wrong password": {"kind": "unknown", "name": "wren"},
    "revoked token": {"kind": "unknown"},
    "other's admin": {"kind": "user", "name": "otto"},
    "narrow robot": {"kind": "token", "name": "narrow"},
    "admin": {"kind": "user", "name": "root"},
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def test_the_route_table_says_what_changes() -> None:
    """Whether a route changes something follows from its method, so logins must say that they change nothing."""
    assert {key for key, route in ROUTES.items() if route.login} == LOGINS
    assert {key for key, route in ROUTES.items() if route.changes} == {
        key for key in NEEDS if key[0] != "GET" and key not in LOGINS
    }


def expected(method: str, path: str, who: str, status: int) -> str | None:
    """The result that one line names; None where there is no line."""
    needs = NEEDS[method, path]
    if (method, path) in LOGINS:
        if status in (401, 403):
            return None if who == "anonymous" else "denied"
        # Without a form, POST logs nobody in; with wrong credentials a challenge is all there is.
        return "ok" if status == 200 and who in ("admin", "other's admin") else None
    if status in (401, 403):
        return None if needs in ("login", "catalog") and who == "anonymous" else "denied"
    if ROUTES[method, path].changes:
        return "ok" if status < 400 else "failed"
    return None


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(("method", "path"), list(NEEDS))
def test_a_route(world: World, method: str, path: str, who: str) -> None:
    with world.http() as http:
        for address in paths(harmless(method, path), PRIVATE):
            for verb in (method, "HEAD") if method == "GET" else (method,):
                answer, lines = ask(world, http, verb, address, headers=world.headers[who])
                wanted = expected(method, path, who, answer.status_code)
                if path == "/token" and who == "narrow robot" and answer.status_code == 200:
                    continue  # a robot's own token is shown as a bearer token here, which gets nobody another one
                what = f"{verb} {address} by {who}: {answer.status_code} {answer.text[:300]}"
                assert [line["result"] for line in lines] == ([wanted] if wanted else []), what
                for line in lines:
                    check(line, method, path, who, answer.status_code)


def check(line: dict[str, object], method: str, path: str, who: str, status: int) -> None:
    assert TIME.fullmatch(str(line["time"]))
    assert next(iter(line)) == "time"
    assert {**line["who"], **WHO[who]} == line["who"]  # type: ignore[dict-item]
    assert line["status"] == status
    assert (line.get("code", "") != "") == (status >= 400)
    assert line["call"] == f"{method} {path.removeprefix('/helm')}"
    assert line["protocol"] == (
        "oci" if path.startswith(("/v2", "/token")) else "helm" if path.startswith("/helm") else "cnr"
    )
    assert line["address"] == "127.0.0.1"
    assert str(line["agent"]).startswith("python-httpx/")
    route = ROUTES[method, path]
    assert line["action"] == ("login" if route.login else route.action)
    place = str(line.get("repository", ""))
    assert place in (PRIVATE, PRIVATE.partition("/")[0], "")
    assert (place != "") == any(name in path for name in ("{name}", "{tenant}", "{path}"))

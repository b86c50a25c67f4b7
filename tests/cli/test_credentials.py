"""Whose credentials the verbs use, where several sources have some, and to whom they are sent."""

import base64
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from tests.cli.misbehaving import Answer, Handler, Misbehaving, misbehaving
from tests.protocols.auth.world import PASSWORD, World

Run = Callable[..., Any]
LISTING = "/cnr/api/v1/packages"
TAGS = "/v2/r/r/tags/list"


def basic(name: str, password: str = "secret") -> str:
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def says(value: object) -> Answer:
    return lambda handler: handler.answer(200, json.dumps(value).encode(), Content_Type="application/json")


@pytest.fixture
def bad() -> Iterator[Misbehaving]:
    """A registry that tells what it was sent, and asks for Basic by OCI."""
    with misbehaving() as registry:
        registry.special |= {LISTING: says([]), TAGS: says({"name": "r/r", "tags": ["v1"]})}
        registry.gate = wants_basic
        yield registry


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    with misbehaving() as registry:
        yield registry


def wants_basic(handler: Handler) -> bool:
    if not handler.path.startswith("/v2/") or "Authorization" in handler.headers:
        return False
    handler.answer(401, WWW_Authenticate='Basic realm="x"')
    return True


def wants_bearer(realm: str) -> Callable[[Handler], bool]:
    def gate(handler: Handler) -> bool:
        if not handler.path.startswith("/v2/") or handler.headers.get("Authorization") == "Bearer t0ken":
            return False
        handler.answer(401, WWW_Authenticate=f'Bearer realm="{realm}",service="s"')
        return True

    return gate


def host(registry: Misbehaving) -> str:
    return f"127.0.0.1:{registry.port}"


def shown(registry: Misbehaving) -> set[str]:
    """The Authorization headers that came."""
    return {headers["authorization"] for _, _, headers in registry.asked if "authorization" in headers}


def write(file: Path, config: object) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config))
    file.chmod(0o600)
    return file


def auths(place: str, name: str) -> dict[str, Any]:
    return {"auths": {place: {"auth": basic(name).removeprefix("Basic ")}}}


def test_the_order(cnr: Run, bad: Misbehaving, person: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source is added with one name; the last that was added is that which counts."""

    def used() -> set[str]:
        bad.asked.clear()
        assert cnr("list", host(bad)).code == 0
        assert cnr("tag", "ls", bad.address).code == (0 if shown(bad) else 5)
        return shown(bad)

    assert used() == set()
    write(person / ".config/helm/registry/config.json", auths(host(bad), "helm"))
    assert used() == {basic("helm")}
    write(person / ".config/containers/auth.json", auths(host(bad), "kept"))
    assert used() == {basic("kept")}
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(person / "run"))
    write(person / "run/containers/auth.json", auths(host(bad), "podman"))
    assert used() == {basic("podman")}
    write(person / ".docker/config.json", auths(host(bad), "docker"))
    assert used() == {basic("docker")}
    monkeypatch.setenv("DOCKER_CONFIG", str(person / "elsewhere"))
    assert used() == {basic("podman")}
    write(person / "elsewhere/config.json", auths(f"http://{host(bad)}/v2/", "moved"))
    assert used() == {basic("moved")}
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(write(person / "given.json", auths(host(bad), "given"))))
    assert used() == {basic("given")}
    own = {"version": 1, "registries": {f"http://{host(bad)}": {"username": "own", "secret": "secret"}}}
    write(person / ".config/cnr/credentials.json", own)
    assert used() == {basic("own")}
    monkeypatch.setenv("CNR_USERNAME", "environment")
    monkeypatch.setenv("CNR_PASSWORD", "secret")
    assert used() == {basic("environment")}
    monkeypatch.setenv("CNR_TOKEN", "Bearer whole")
    assert used() == {"Bearer whole"}


def test_credentials_of_a_repository(cnr: Run, bad: Misbehaving, person: Path) -> None:
    both = {"auths": auths(host(bad), "all")["auths"] | auths(f"{host(bad)}/r", "mine")["auths"]}
    write(person / ".docker/config.json", both)
    assert cnr("tag", "ls", bad.address).code == 0
    assert shown(bad) == {basic("mine")}
    assert cnr("list", f"{host(bad)}/r").code == 0
    assert shown(bad) == {basic("mine")}
    assert cnr("list", host(bad)).code == 0
    assert shown(bad) == {basic("mine"), basic("all")}


def test_each_end_of_a_copy_has_its_own(
    cnr: Run, bad: Misbehaving, other: Misbehaving, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other.gate = wants_basic
    config = {"auths": auths(host(bad), "source")["auths"] | auths(host(other), "target")["auths"]}
    write(person / ".docker/config.json", config)
    cnr("copy", f"{bad.address}:v1", other.address, "--from", "oci", "--to", "oci")
    assert (shown(bad), shown(other)) == ({basic("source")}, {basic("target")})
    monkeypatch.setenv("CNR_USERNAME", "stranger")
    monkeypatch.setenv("CNR_PASSWORD", "secret")
    bad.asked.clear()
    cnr("copy", f"{bad.address}:v1", other.address, "--from", "oci", "--to", "oci")
    assert shown(bad) == {basic("source")}


def helper(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    """The credential helper `test`, which is `script`."""
    program = folder / "bin" / "docker-credential-test"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nread -r server\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


def test_a_helper_is_asked(cnr: Run, bad: Misbehaving, person: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    helper(monkeypatch, person, """echo "{\\"Username\\": \\"$server\\", \\"Secret\\": \\"secret\\"}" """)
    write(person / ".docker/config.json", {"credHelpers": {host(bad): "test"}})
    for words in (("list", host(bad)), ("tag", "ls", bad.address)):
        assert cnr(*words).code == 0
    assert shown(bad) == {basic(host(bad))}


def test_a_helper_that_fails_is_told_of(
    cnr: Run, bad: Misbehaving, person: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper(monkeypatch, person, """echo '{"Username": "u", "Secret": "hush hush"}' >&2; exit 1""")
    write(person / ".docker/config.json", {"credsStore": "test"})
    write(person / ".config/containers/auth.json", auths(host(bad), "kept"))
    done = cnr("list", host(bad))
    assert (done.code, shown(bad)) == (0, {basic("kept")})
    assert done.err == "cnr: docker-credential-test ended with status 1: going on without it\n"
    write(person / ".docker/config.json", {"credsStore": "not/a/name"})
    assert "is no name of a credential helper" in cnr("list", host(bad)).err


@pytest.mark.parametrize("verb", [("list",), ("tag", "ls")])
def test_nothing_is_asked_where_the_environment_says_it(
    cnr: Run, bad: Misbehaving, person: Path, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...]
) -> None:
    helper(monkeypatch, person, f"touch {person}/asked")
    write(person / ".docker/config.json", {"credsStore": "test"})
    monkeypatch.setenv("CNR_TOKEN", "Bearer x")
    assert cnr(*verb, bad.address if verb[0] == "tag" else host(bad)).code == 0
    assert not (person / "asked").exists()


# Identity tokens: what `docker login` leaves where a token server gives refresh tokens.


def refreshed(forms: list[dict[str, list[str]]]) -> Answer:
    def answer(handler: Handler) -> None:
        assert handler.command == "POST"
        forms.append(parse_qs(handler.body.decode()))
        says({"access_token": "t0ken", "expires_in": 300})(handler)

    return answer


def test_an_identity_token_goes_to_the_token_server_alone(
    cnr: Run, bad: Misbehaving, other: Misbehaving, person: Path
) -> None:
    forms: list[dict[str, list[str]]] = []
    write(person / ".docker/config.json", {"auths": {host(bad): {"auth": "", "identitytoken": "refresh-me"}}})
    bad.gate, other.special["/token"] = wants_bearer(f"http://{host(other)}/token"), refreshed(forms)
    assert cnr("tag", "ls", bad.address).code == 0
    wanted = {"grant_type": ["refresh_token"], "refresh_token": ["refresh-me"], "client_id": ["cnr"], "service": ["s"]}
    assert forms == [wanted | {"scope": ["repository:r/r:pull"]}]
    assert cnr("list", host(bad)).code == 0
    assert forms[1:] == [wanted | {"scope": ["registry:catalog:*"]}]
    assert shown(bad) == {"Bearer t0ken"}
    assert not any("refresh-me" in f"{path} {headers}" for _, path, headers in bad.asked + other.asked)


def test_an_identity_token_that_is_over(cnr: Run, bad: Misbehaving, person: Path) -> None:
    write(person / ".docker/config.json", {"auths": {host(bad): {"identitytoken": "refresh-me"}}})
    bad.gate = wants_bearer(f"http://{host(bad)}/token")
    for status in (400, 401, 403):
        bad.special["/token"] = lambda handler, status=status: handler.answer(status)  # type: ignore[misc]
        for words in (("tag", "ls", bad.address), ("list", host(bad))):
            refused = cnr(*words)
            assert (refused.code, "log in again" in refused.err, "refresh-me" in refused.err) == (5, True, False)


def test_our_own_server_takes_them(cnr: Run, person: Path, chart: Run, tmp_path: Path) -> None:
    world = World.start(tmp_path / "server", CNR_AUTH_SCHEME="bearer")
    try:
        form = {"grant_type": "password", "service": "x", "username": "will", "password": PASSWORD}
        with world.http() as http:
            token = http.post("/token", data=form | {"access_type": "offline"}).json()["refresh_token"]
        site = world.server.url.removeprefix("http://")
        write(person / ".docker/config.json", {"auths": {site: {"identitytoken": token}}})
        assert cnr("push", chart("mine"), f"{site}/team", "-c", "stable").code == 0
        assert cnr("tag", "ls", f"{site}/team/mine").out == "1.0.0\nstable\n"
        assert cnr("show", f"{site}/team/app").code == 0
        assert "team/mine" in cnr("list", site).out
        assert cnr("push", chart("mine"), f"{site}/other").code == 5
    finally:
        world.server.kill()


# Redirects and answers: the header stays with its registry.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("there", ["http://127.0.0.1:{port}", "http://localhost:{port}"])
def test_a_redirect_takes_nothing_along(
    cnr: Run, bad: Misbehaving, other: Misbehaving, person: Path, status: int, there: str
) -> None:
    base = there.format(port=other.port)
    bad.special |= dict.fromkeys((LISTING, TAGS), lambda handler: handler.answer(status, Location=base + handler.path))
    other.special |= {LISTING: says([]), TAGS: says({"name": "r/r", "tags": ["v1"]})}
    write(person / ".docker/config.json", auths(host(bad), "me"))
    assert cnr("list", host(bad)).code == 0
    assert cnr("tag", "ls", bad.address).code == 0
    assert shown(bad) == {basic("me")}
    assert [path.partition("?")[0] for _, path, _ in other.asked] == [LISTING, TAGS]
    assert shown(other) == set()


def test_a_change_is_not_redirected(cnr: Run, bad: Misbehaving, other: Misbehaving, person: Path, chart: Run) -> None:
    bad.special["/cnr/api/v1/packages/r/app"] = lambda handler: handler.answer(
        307, Location=f"http://{host(other)}{handler.path}"
    )
    write(person / ".docker/config.json", auths(host(bad), "me"))
    refused = cnr("push", chart("app"), f"{host(bad)}/r")
    assert (refused.code, other.asked) == (1, [])


def test_a_token_of_one_registry_is_not_for_another(
    cnr: Run, bad: Misbehaving, other: Misbehaving, person: Path
) -> None:
    """The realm of a registry without credentials of ours must not get those of a registry that has some."""
    other.gate = wants_bearer(f"http://{host(bad)}/token")
    bad.special["/token"] = says({"token": "t0ken"})
    write(person / ".docker/config.json", auths(host(bad), "me"))
    cnr("tag", "ls", other.address)
    assert (shown(bad), shown(other)) == (set(), {"Bearer t0ken"})

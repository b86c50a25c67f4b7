"""Files as docker, podman, oras and helm write them, and programs that keep passwords for them."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cnr.client.credential_helper import ask_helper
from cnr.client.credential_sources import docker_files
from cnr.client.credentials import Credentials
from cnr.client.docker_config import DockerConfig
from cnr.client.errors import HelperFailed, UnusableConfig
from cnr.client.logins import Login
from cnr.client.reference import parse_registry
from cnr.client.transport import Connection

Helper = Callable[[str, str], Path]


def entry(name: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Credentials | None]:
    """What a config holds for a registry and a repository in it."""

    def look(config: object, registry: str, repository: str = "") -> Credentials | None:
        file = tmp_path / "config.json"
        file.write_text(config if isinstance(config, str) else json.dumps(config))
        return DockerConfig(file).find(parse_registry(registry), repository)

    return look


@pytest.fixture
def helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Helper:
    """Puts a shell script on PATH as the helper of a name; the file tells with which words it was called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    def make(name: str, script: str) -> Path:
        program, told = folder / f"docker-credential-{name}", tmp_path / f"{name}-was-told"
        program.write_text(f'#!/bin/sh\nread -r server; echo "$* $server" >> "{told}"\n{script}\n')
        program.chmod(0o755)
        return told

    return make


@pytest.mark.parametrize(
    ("key", "registry", "found"),
    [
        ("example.com", "example.com", True),
        ("https://example.com", "example.com", True),
        ("https://example.com/v2/", "example.com", True),
        ("http://example.com/v1/", "example.com", True),
        ("example.com/v1/", "example.com", True),
        ("Example.com", "example.com", True),
        ("example.com", "http://example.com", True),
        ("example.com:5000", "example.com:5000", True),
        ("example.com:5000", "example.com", False),
        ("example.com", "example.com:5000", False),
        ("sub.example.com", "example.com", False),
        ("example.com", "sub.example.com", False),
        ("example.com.evil.net", "example.com", False),
        ("[::1]:5000", "[::1]:5000", True),
        ("https://index.docker.io/v1/", "registry-1.docker.io", True),
        ("docker.io", "registry-1.docker.io", True),
        ("https://index.docker.io/v1/", "example.com", False),
    ],
)
def test_which_entry_is_meant(find: Callable[..., Any], key: str, registry: str, found: bool) -> None:
    expected = Credentials("me", "a:b") if found else None
    assert find({"auths": {key: entry("me", "a:b")}}, registry) == expected


def test_the_longest_name_counts(find: Callable[..., Any]) -> None:
    auths = {"h.io": entry("host", "1"), "h.io/team": entry("team", "2"), "h.io/team/app": entry("app", "3")}
    named = {path: find({"auths": auths}, "h.io", path).username for path in ("", "other/app", "team/x", "team/app")}
    assert named == {"": "host", "other/app": "host", "team/x": "team", "team/app": "app"}
    assert find({"auths": {"h.io/team": entry("team", "2")}}, "h.io", "other/app") is None
    assert find({"auths": {"h.io/team": entry("team", "2")}}, "h.io", "teams/app") is None


def test_what_an_entry_may_hold(find: Callable[..., Any]) -> None:
    def of(**fields: object) -> Credentials | None:
        found: Credentials | None = find({"auths": {"h.io": fields}}, "h.io")
        return found

    assert of(username="me", password="x") == Credentials("me", "x")
    assert of(auth=base64.b64encode(b"me:x\0\0").decode()) == Credentials("me", "x")
    assert of(auth="bWU6", identitytoken="i") == Credentials(identity_token="i")
    assert of(registrytoken="r") == Credentials(fixed="Bearer r")
    assert of() is None
    assert of(auth="", email="me@example.com") is None


@pytest.mark.parametrize(
    "config",
    [
        "[]",
        "{",
        "\x00",
        '{"auths": []}',
        '{"auths": {"h.io": {"auth": 5}}}',
        '{"auths": {"h.io": {"auth": "%%%"}}}',
        '{"auths": {"h.io": {"auth": "c2VjcmV0"}}}',
        '{"auths": {"h.io": {"registrytoken": "secret\\r\\nX: y"}}}',
    ],
)
def test_what_is_no_config(find: Callable[..., Any], config: str) -> None:
    with pytest.raises(UnusableConfig, match=r"config\.json") as caught:
        find(config, "h.io")
    assert "secret" not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize("config", ["", " \n", "{}", '{"auths": null}', '{"auths": {"h.io": null}}', '{"more": [1]}'])
def test_a_config_with_nothing_for_us(find: Callable[..., Any], config: str) -> None:
    assert find(config, "h.io") is None


def test_helpers(find: Callable[..., Any], helper: Helper) -> None:
    told = helper("one", """echo '{"ServerURL": "x", "Username": "one", "Secret": "1"}'""")
    also = helper("all", """echo '{"Username": "<token>", "Secret": "2"}'""")
    config = {"credHelpers": {"h.io:5000": "one"}, "credsStore": "all", "auths": {"h.io:5000": {}}}
    assert find(config, "h.io:5000", "a/b") == Credentials("one", "1")
    assert find(config, "h.io", "a/b") == Credentials(identity_token="2")
    assert find(config, "registry-1.docker.io") == Credentials(identity_token="2")
    assert told.read_text() == "get h.io:5000\n"
    assert also.read_text() == "get h.io\nget https://index.docker.io/v1/\n"


def test_a_helper_that_has_nothing(find: Callable[..., Any], helper: Helper) -> None:
    helper("none", "echo 'credentials not found in native keychain'; exit 1")
    assert find({"credsStore": "none"}, "h.io") is None
    assert find({"credsStore": "none", "auths": {"h.io": entry("me", "x")}}, "h.io") == Credentials("me", "x")


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("exit 3", "ended with status 3"),
        ("echo 'the store is locked' >&2; exit 1", "ended with status 1: the store is locked"),
        ("""echo '{"Username": "u", "Secret": "hush"}'; exit 1""", "ended with status 1"),
        ("echo hush >&2; exit 1", "ended with status 1"),
        ("echo hush", "printed something else than credentials"),
        ("""echo '{"Username": "u"}'""", "printed something else than credentials"),
        ("""echo '{"Username": "u", "Secret": ["hush"]}'""", "printed something else than credentials"),
        ("""printf '{"Username": "u", "Secret": "\\377hush"}'""", "printed something else than credentials"),
    ],
)
def test_a_helper_that_fails(helper: Helper, script: str, sentence: str) -> None:
    helper("bad", script)
    with pytest.raises(HelperFailed) as caught:
        ask_helper("bad", "h.io")
    assert str(caught.value) == f"docker-credential-bad {sentence}"


def test_a_helper_that_does_not_end(helper: Helper) -> None:
    helper("slow", "exec sleep 600")
    with pytest.raises(HelperFailed, match=r"did not answer within 0\.3 seconds"):
        ask_helper("slow", "h.io", limit_s=0.3)


@pytest.mark.parametrize("name", ["", "../evil", "a/b", "a b", "a;id", "$(id)", "a\nb", "é"])
def test_what_is_no_name_of_a_helper(name: str) -> None:
    with pytest.raises(HelperFailed, match="is no name of a credential helper"):
        ask_helper(name, "h.io")


def test_a_helper_is_found_on_path_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "docker-credential-here"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    for path in ("/usr/bin", ":/usr/bin", ".:/usr/bin"):
        monkeypatch.setenv("PATH", path)
        with pytest.raises(HelperFailed, match="docker-credential-here is not on PATH"):
            ask_helper("here", "h.io")
    assert not (tmp_path / "ran").exists()


def test_which_files_there_are(tmp_path: Path) -> None:
    home = Path("/home/me")
    bare = docker_files({}, home, 7)
    assert bare[:3] == [
        home / ".docker/config.json",
        Path("/run/containers/7/auth.json"),
        home / ".config/containers/auth.json",
    ]
    given = {"REGISTRY_AUTH_FILE": "/r", "DOCKER_CONFIG": "/d", "XDG_RUNTIME_DIR": "/x", "XDG_CONFIG_HOME": "/c"}
    assert docker_files(given | {"HELM_REGISTRY_CONFIG": "/h"}, home, 7) == [
        *(Path("/r"), Path("/d/config.json"), Path("/x/containers/auth.json")),
        *(Path("/c/containers/auth.json"), Path("/h")),
    ]


def test_credentials_do_not_show_themselves() -> None:
    for who in (Credentials("n4me", "hush"), Credentials(fixed="hush"), Credentials(identity_token="hush")):
        assert repr(who) == "Credentials()"
    assert repr(Login("n4me", "hush")) == "Login()"
    assert "hush" not in repr(Connection(parse_registry("h.io"), token="hush"))

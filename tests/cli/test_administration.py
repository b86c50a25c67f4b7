"""The verbs about accounts and rules do the same at a registry as on its store."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bcrypt
import pytest
from tests.protocols.auth.world import PASSWORD, World

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World.start(tmp_path_factory.mktemp("admin"))
    yield world
    world.server.kill()


@pytest.fixture(params=["store", "registry"])
def on(cnr: Run, world: World, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a verb in one of both places, as root or with the store's files; passwords are read from a line."""
    monkeypatch.setenv("CNR_USERNAME", "root")
    monkeypatch.setenv("CNR_PASSWORD", PASSWORD)
    place = ("--registry", world.server.url) if request.param == "registry" else ("--database-url", world.server.store)

    def run(*words: object) -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
        return cnr(*words, *place)

    return run


def test_every_verb(on: Run, tmp_path: Path) -> None:
    said = [
        on("user", "add", "alice", "--password-stdin").out,
        on("group", "add", "dev").out,
        on("group", "join", "dev", "alice").out,
        on("grant", "give", "group", "dev", "shop", "writer").out,
        on("grant", "give", "user", "alice", "shop/deep/er", "reader").out,
        on("user", "admin", "alice").out,
        on("user", "password", "alice", "--password-stdin").out,
    ]
    assert said == [
        "Made the user alice.\n",
        "Made the group dev.\n",
        "alice is in dev.\n",
        "dev is writer of shop.\n",
        "alice is reader of shop/deep/er.\n",
        "alice is an administrator.\n",
        "Changed the password of alice.\n",
    ]
    users = {each["name"]: each for each in on("user", "list", "--output", "json").json}
    assert (users["alice"]["roles"], users["alice"]["admin"]) == ({"shop/deep/er": "reader"}, True)
    assert on("grant", "list", "shop").out.splitlines()[1:] == [
        "shop          writer  group  dev",
        "shop/deep/er  reader  user   alice",
    ]
    assert on("group", "list", "--output", "json").json[0]["roles"] == {"shop": "writer"}
    made = on("token", "add", "ci", "--scope", "shop/*:pull,push").out
    token_id = made.removeprefix("Made the token ").partition(":")[0]
    assert token_id in on("token", "list").out
    rules = on(
        "namespace", "set", "shop", "--visibility", "public", "--channel", "stable:maintainer", "--output", "json"
    )
    assert rules.json["set"] == {"visibility": "public", "channels": {"stable": "maintainer"}}
    assert on("namespace", "show", "shop/api", "--output", "json").json["visibility"] == "public"
    stored = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode()
    (tmp_path / "htpasswd").write_text(f"bob:{stored}\n")
    assert on("user", "import", tmp_path / "htpasswd").out == "Took over 1 users.\n"
    assert on("user", "import", tmp_path / "htpasswd").code == 4
    assert on("user", "import", tmp_path / "htpasswd", "--replace").code == 0
    gone = [
        on("namespace", "set", "shop", "--unset", "visibility", "--unset", "channels").code,
        on("token", "rotate-keys").code,
        on("token", "remove", token_id).code,
        on("grant", "take", "user", "alice", "shop/deep/er").code,
        on("group", "leave", "dev", "alice").code,
        on("group", "remove", "dev").code,
        on("user", "remove", "alice").code,
        on("user", "remove", "bob").code,
    ]
    assert gone == [0] * 8


def test_what_goes_wrong(on: Run) -> None:
    on("user", "add", "carol", "--password-stdin")
    taken = on("user", "add", "carol", "--password-stdin")
    assert (taken.code, taken.err) == (4, "cnr: there is a user carol already\n")
    missing = [
        on("user", "remove", "nobody"),
        on("group", "join", "none", "carol"),
        on("token", "remove", "0" * 16),
        on("token", "remove", "x/../y"),
        on("grant", "give", "user", "nobody", "shop", "reader"),
    ]
    assert [(each.code, each.out) for each in missing] == [(3, "")] * 5
    assert missing[0].err == "cnr: there is no user nobody\n"
    assert on("user", "remove", "carol").code == 0


def test_who_may_not(cnr: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ("--registry", world.server.url)
    assert cnr("user", "list", *place).code == 5
    monkeypatch.setenv("CNR_USERNAME", "tess")
    monkeypatch.setenv("CNR_PASSWORD", PASSWORD)
    refused = cnr("user", "list", *place)
    assert (refused.code, refused.err) == (5, "cnr: tess may not administer this\n")
    assert cnr("grant", "give", "user", "rita", "team/app", "writer", *place).code == 0
    assert cnr("grant", "take", "user", "rita", "team/app", *place).code == 0
    assert cnr("namespace", "show", "open", *place).code == 5
    made = cnr("token", "add", "ci", "--scope", "team/*:pull", *place)
    assert made.code == 0
    monkeypatch.setenv("CNR_TOKEN", "Bearer " + made.out.split("\n")[1])
    assert cnr("token", "add", "ci", "--scope", "team/*:pull", *place).code == 5
    monkeypatch.setenv("CNR_TOKEN", "Bearer cnr_wrong")
    assert cnr("user", "list", *place).code == 5


def test_the_last_administrator(cnr: Run, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNR_USERNAME", "root")
    monkeypatch.setenv("CNR_PASSWORD", PASSWORD)
    refused = cnr("user", "remove", "root", "--registry", world.server.url)
    assert (refused.code, refused.err) == (4, "cnr: this is the last administrator: make another one first\n")


def test_a_place_is_named_once(cnr: Run, tmp_path: Path) -> None:
    refused = cnr("user", "list", "--registry", "localhost:1", "--database-url", tmp_path)
    assert refused.code == 2
    assert "give one of them" in refused.err
    assert cnr("user", "list", "--registry", "127.0.0.1:1").code == 6
    assert cnr("user", "list", "--registry", "localhost:1/x").code == 2


def test_a_server_without_accounts(cnr: Run, registry: str) -> None:
    refused = cnr("user", "list", "--registry", registry)
    assert refused.code == 5
    assert "no accounts" in refused.err

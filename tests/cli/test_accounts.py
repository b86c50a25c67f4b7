"""`cnr user`, `group`, `grant` and `token` on a folder."""

import io
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import bcrypt
import pytest

Run = Callable[..., Any]


@pytest.fixture
def on(cnr: Run, tmp_path: Path) -> Run:
    """Runs a verb on a new store."""
    return lambda *arguments: cnr(*arguments, "--database-url", tmp_path / "data")


def listed(on: Run, kind: str) -> dict[str, Any]:
    return {each["name"]: each for each in on(kind, "list", "--output", "json").json}


def test_the_first_administrator(on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("correct horse battery\n"))
    done = on("user", "add", "root", "--admin", "--password-stdin")
    assert (done.code, done.out) == (0, "Made the administrator root.\n")
    assert listed(on, "user")["root"]["admin"] is True
    taken = on("user", "add", "root")
    assert (taken.code, taken.err) == (4, "cnr: there is a user root already\n")
    assert on("user", "admin", "root", "--revoke").code == 0
    assert listed(on, "user")["root"]["admin"] is False


def test_a_password_is_made_up_and_none_is_a_default(on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    made = {on("user", "add", name).out.partition("Password: ")[2] for name in ("a", "b")}
    assert len(made) == 2
    assert all(len(password.strip()) == 24 for password in made)


@pytest.mark.parametrize("given", ["", "short", "x" * 1025])
def test_a_password_that_will_not_do(on: Run, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{given}\n"))
    refused = on("user", "add", "a", "--password-stdin")
    assert refused.code == 2
    assert "8 to 1024 characters" in refused.err
    assert listed(on, "user") == {}


def test_no_verb_takes_a_password_as_an_argument(on: Run) -> None:
    """The list of processes shows arguments to everybody on the machine."""
    assert on("user", "add", "a", "--password", "correct horse").code == 2
    assert on("user", "password", "a", "correct horse").code == 2


@pytest.mark.parametrize("name", ["A", "", "a/b", "a:b", ".a", "a ", "é", "a" * 65, "-a"])
def test_names_that_are_none(on: Run, name: str) -> None:
    assert on("user", "add", "--", name).code == 2


def test_groups_and_roles(on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    on("user", "add", "alice")
    assert on("group", "join", "dev", "alice").code == 3
    assert on("group", "add", "dev").code == 0
    assert on("group", "join", "dev", "alice").code == 0
    assert on("grant", "give", "group", "dev", "shop", "writer").code == 0
    assert on("grant", "give", "user", "alice", "shop/api", "admin").code == 0
    assert on("grant", "give", "user", "nobody", "shop", "reader").code == 3
    assert on("grant", "give", "user", "alice", "Shop", "reader").code == 2
    assert on("grant", "give", "user", "alice", "shop", "owner").code == 2
    assert listed(on, "group")["dev"]["roles"] == {"shop": "writer"}
    alice = listed(on, "user")["alice"]
    assert (alice["admin"], alice["groups"], alice["roles"]) == (False, ["dev"], {"shop/api": "admin"})
    assert alice.keys() == {"name", "admin", "created_at", "groups", "roles", "version"}
    assert [each["path"] for each in on("grant", "list", "--output", "json").json] == ["shop", "shop/api"]
    assert [each["name"] for each in on("grant", "list", "shop/api", "--output", "json").json] == ["alice"]
    assert on("grant", "take", "user", "alice", "shop/api").code == 0
    assert on("group", "leave", "dev", "alice").code == 0
    assert (listed(on, "user")["alice"]["groups"], listed(on, "user")["alice"]["roles"]) == ([], {})
    assert on("user", "remove", "alice").code == 0
    assert on("user", "remove", "alice").code == 3
    assert on("group", "remove", "dev").code == 0


def test_tokens(on: Run) -> None:
    made = on("token", "add", "ci", "--scope", "shop/*:pull,push", "--scope", "base/app:pull").out
    token_id, token = made.removeprefix("Made the token ").split(":\n")
    found = on("token", "list", "--output", "json")
    assert token.strip() not in found.out
    assert found.json[0]["scopes"] == {"base/app": ["pull"], "shop/*": ["pull", "push"]}
    lifetime = datetime.fromisoformat(found.json[0]["expires_at"]) - datetime.fromisoformat(found.json[0]["created_at"])
    assert lifetime == timedelta(days=90)
    assert found.json[0]["owner"] is None
    assert on("token", "rotate-keys").code == 0
    assert on("token", "remove", token_id).code == 0
    assert on("token", "remove", token_id).code == 3
    assert on("token", "list", "--output", "json").json == []


@pytest.mark.parametrize(
    "scope", ["shop:pull", "shop/*", "shop/*:", "shop/*:own", "*:pull", "/*:pull", "shop/*:pull,x"]
)
def test_scopes_that_are_none(on: Run, scope: str) -> None:
    assert on("token", "add", "ci", "--scope", scope).code == 2


def test_an_htpasswd_file(on: Run, tmp_path: Path) -> None:
    stored = bcrypt.hashpw(b"correct horse", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    file = tmp_path / "htpasswd"
    file.write_text(f"# users\n\nalice:{stored}\nbob:{stored}\n")
    assert on("user", "import", file).out == "Took over 2 users.\n"
    assert set(listed(on, "user")) == {"alice", "bob"}
    assert on("user", "import", file).code == 4
    assert on("user", "import", file, "--replace").code == 0
    for line in ("carol:{SHA}abc", "carol:$apr1$x", "carol", "Carol:" + stored, "carol:$2y$99$abc"):
        file.write_text(f"dora:{stored}\n{line}\n")
        refused = on("user", "import", file)
        assert refused.code != 0
        assert "line 2" in refused.err
        assert stored not in refused.err
    assert set(listed(on, "user")) == {"alice", "bob"}

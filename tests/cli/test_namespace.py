"""`cnr namespace` on a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def on(cnr: Run, tmp_path: Path) -> Run:
    """Runs a verb of `cnr namespace` on a new store."""
    return lambda verb, *arguments: cnr("namespace", verb, *arguments, "--database-url", tmp_path / "data")


OTHERS: dict[str, Any] = {
    "push_role": "writer",
    "force_role": "writer",
    "yank_role": "writer",
    "delete_role": "maintainer",
    "channels": {},
    "formats": None,
    "max_tags": None,
    "max_bytes": None,
    "used_tags": 0,
    "used_bytes": 0,
}


def shown(on: Run, *words: object) -> Any:
    """What is shown, without the version."""
    found = on(*words, "--output", "json").json
    assert isinstance(found.pop("version"), str)
    return found


def test_what_is_set_is_shown(on: Run) -> None:
    assert shown(on, "show", "ns") == {
        "path": "ns",
        "immutability": "releases",
        "force": True,
        "untagged_after": None,
        "visibility": "private",
        **OTHERS,
        "set": {},
    }
    flags = ("--immutability", "none", "--no-force", "--untagged-after", "30d", "--visibility", "public")
    done = shown(on, "set", "ns", *flags)
    own = {"immutability": "none", "force": False, "untagged_after": 2_592_000, "visibility": "public"}
    assert done == {"path": "ns", **own, **OTHERS, "set": own}
    assert shown(on, "show", "ns/app") == {"path": "ns/app", **own, **OTHERS, "set": {}}


def test_quotas(on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shown(on, "set", "ns", "--max-tags", "100", "--max-bytes", "2GiB")
    assert (found["max_tags"], found["max_bytes"]) == (100, 2 << 30)
    assert found["set"] == {"max_tags": 100, "max_bytes": 2 << 30}
    assert "max-bytes       2,147,483,648 (0 used)  set here" in on("show", "ns").out
    # of a namespace; a repository in it has none of its own
    assert shown(on, "show", "ns/app")["max_tags"] is None
    monkeypatch.setenv("CNR_MAX_TAGS_PER_NAMESPACE", "7")
    assert shown(on, "show", "other")["max_tags"] == 7
    assert shown(on, "set", "other", "--max-tags", "off")["max_tags"] is None
    assert shown(on, "set", "ns", "--unset", "max-tags")["max_tags"] == 7
    for wrong in (("--max-tags", "x"), ("--max-tags", "-1"), ("--max-bytes", "2 miles")):
        assert on("set", "ns", *wrong).code == 2


def test_who_does_what(on: Run) -> None:
    flags = ("--force-role", "maintainer", "--delete-role", "admin", "--push-role", "admin", "--yank-role", "writer")
    more = ("--channel", "stable:maintainer", "--channel", "rc*:writer", "--format", "helm", "--format", "kpm")
    done = shown(on, "set", "ns", *flags, *more)
    own = {
        "push_role": "admin",
        "force_role": "maintainer",
        "yank_role": "writer",
        "delete_role": "admin",
        "channels": {"rc*": "writer", "stable": "maintainer"},
        "formats": ["helm", "kpm"],
    }
    assert done["set"] == own
    assert {name: done[name] for name in own} == own
    taken = shown(on, "set", "ns", "--unset", "channels", "--unset", "formats", "--unset", "force-role")
    assert (taken["channels"], taken["formats"], taken["force_role"]) == ({}, None, "writer")
    for wrong in ("stable", "stable:reader", "sta ble:writer", ":writer", "a*b:writer"):
        assert on("set", "ns", "--channel", wrong).code == 2
    assert on("set", "ns", "--format", "he/lm").code == 2
    assert on("set", "ns", "--delete-role", "writer").code == 2


def test_a_repository_s_rule_wins_and_is_taken_back(on: Run) -> None:
    on("set", "ns", "--immutability", "strict", "--untagged-after", "60")
    assert on("set", "ns/app", "--immutability", "none", "--untagged-after", "never").code == 0
    found = on("show", "ns/app", "--output", "json").json
    assert (found["immutability"], found["untagged_after"]) == ("none", None)
    assert found["set"] == {"immutability": "none", "untagged_after": "never"}
    assert on("show", "ns/other", "--output", "json").json["immutability"] == "strict"
    taken = on("set", "ns/app", "--unset", "immutability", "--unset", "untagged-after", "--output", "json").json
    assert (taken["immutability"], taken["untagged_after"], taken["set"]) == ("strict", 60, {})


def test_it_says_where_a_rule_comes_from(on: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNR_ALLOW_FORCE", "false")
    monkeypatch.setenv("CNR_GC_UNTAGGED_AFTER", "90")
    rows = [line.split() for line in on("set", "ns", "--immutability", "releases").out.splitlines()]
    assert rows == [
        ["RULE", "ns"],
        ["immutability", "releases", "set", "here"],
        ["force", "not", "allowed", "from", "above"],
        ["untagged-after", "90", "s", "from", "above"],
        ["visibility", "private", "from", "above"],
        ["push-role", "writer", "from", "above"],
        ["force-role", "writer", "from", "above"],
        ["yank-role", "writer", "from", "above"],
        ["delete-role", "maintainer", "from", "above"],
        ["channels", "-", "from", "above"],
        ["formats", "all", "from", "above"],
        ["max-tags", "any", "(0", "used)", "from", "above"],
        ["max-bytes", "any", "(0", "used)", "from", "above"],
    ]


@pytest.mark.parametrize("age", ["x", "-1", "1y", "d", "1.5", "", "9" * 5000, "\u0663"])
def test_an_age_that_is_none(on: Run, age: str) -> None:
    refused = on("set", "ns", "--untagged-after", age)
    assert (refused.code, refused.out) == (2, "")
    assert "use a number of seconds, 12h, 30d or never" in refused.err


@pytest.mark.parametrize("path", ["NS", "a/../b", "", "a b", "a/" + "b" * 300])
def test_a_path_that_is_none(on: Run, path: str) -> None:
    refused = on("show", path)
    assert (refused.code, refused.out) == (2, "")


def test_contradictions(on: Run) -> None:
    assert "nothing to set" in on("set", "ns").err
    assert "contradicts" in on("set", "ns", "--immutability", "none", "--unset", "immutability").err

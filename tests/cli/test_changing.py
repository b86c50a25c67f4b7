"""`cnr channel` and `cnr delete`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]
MakeChart = Callable[..., Path]


@pytest.fixture
def app(cnr: Run, home: str, chart: MakeChart) -> str:
    """A package with releases 1.0.0 and 1.1.0: its HOST/ns/name."""
    for version in ("1.0.0", "1.1.0"):
        assert cnr("push", chart(version=version), home).code == 0
    return f"{home}/app"


def current(cnr: Run, app: str) -> dict[str, str]:
    return {item["name"]: item["current"] for item in cnr("channel", app, "--output", "json").json}


def test_a_channel_from_first_release_to_last(cnr: Run, app: str) -> None:
    package = app.partition("/")[2]
    assert cnr("channel", app).out.splitlines() == ["CHANNEL  CURRENT  RELEASES"]
    added = cnr("channel", app + "@1.1.0", "-c", "stable", "--set-release")
    assert (added.code, added.out) == (0, f"channel stable of {package} is now at 1.1.0\n")
    assert cnr("channel", app, "-v", "1.0.0", "-c", "stable", "--set-release").code == 0
    assert cnr("channel", app).out.splitlines()[1].split() == ["stable", "1.0.0", "1.1.0,", "1.0.0"]
    removed = cnr("channel", app + "@1.0.0", "-c", "stable", "--remove-release")
    assert removed.out == f"1.0.0 removed from channel stable of {package}\n"
    assert current(cnr, app) == {"stable": "1.1.0"}
    assert cnr("channel", app + "@1.1.0", "-c", "stable", "--remove-release").code == 0
    assert current(cnr, app) == {}


def test_a_channel_is_deleted(cnr: Run, app: str) -> None:
    package = app.partition("/")[2]
    assert cnr("channel", app + "@1.0.0", "-c", "beta", "--set-release").code == 0
    deleted = cnr("channel", f"{app}:beta", "--delete")
    assert (deleted.code, deleted.out) == (0, f"channel beta of {package} deleted\n")
    assert cnr("channel", app, "-c", "beta", "--delete").code == 3
    assert cnr("show", app + "@1.0.0").code == 0


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_answers_for_programs(cnr: Run, app: str, output: str) -> None:
    def ask(*words: str) -> Any:
        return yaml.safe_load(cnr("channel", *words, "--output", output).out)

    package = app.partition("/")[2]
    expected = {"name": "beta", "current": "1.0.0", "releases": ["1.0.0"]}
    assert ask(app + "@1.0.0", "-c", "beta", "--set-release") == expected
    assert ask(app) == ask(app, "-c", "beta") == ask(f"{app}:beta") == [expected]
    removed = ask(app + "@1.0.0", "-c", "beta", "--remove-release")
    assert removed == {"name": "beta", "package": package, "release": "1.0.0", "status": "deleted"}
    cnr("channel", app + "@1.0.0", "-c", "beta", "--set-release")
    assert ask(app, "-c", "beta", "--delete") == {"action": "delete", "channel": "beta", "package": package}


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["@9.9.9", "-c", "stable", "--set-release"], 3),
        (["@>=1.0", "-c", "stable", "--set-release"], 3),
        (["", "-c", "stable", "--set-release"], 2),
        (["", "-c", "1.0.0"], 2),
        (["", "-c", "none"], 3),
        ([":a", "-c", "b"], 2),
        (["@1.0.0", "--set-release"], 2),
        (["", "--delete"], 2),
        (["@1.0.0", "-c", "none", "--remove-release"], 3),
        (["-missing"], 3),
    ],
)
def test_what_channels_refuse(cnr: Run, app: str, words: list[str], code: int) -> None:
    refused = cnr("channel", app + words[0], *words[1:])
    assert (refused.code, refused.out) == (code, "")
    assert refused.err.count("\n") == 1


def test_delete(cnr: Run, app: str) -> None:
    package = app.partition("/")[2]
    deleted = cnr("delete", app + "@1.0.0")
    assert (deleted.code, deleted.out) == (0, f"{package} 1.0.0 (helm) deleted\n")
    assert cnr("delete", app + "@1.0.0").code == 3
    gone = cnr("delete", app, "-v", "1.1.0", "-t", "helm", "--output", "json").json
    assert gone == {"package": package, "release": "1.1.0", "status": "deleted", "media_type": "helm"}
    assert cnr("show", app).code == 3


def test_delete_by_its_old_name(cnr: Run, app: str) -> None:
    answer = yaml.safe_load(cnr("delete-package", app + "@1.0.0", "--output", "yaml").out)
    assert answer["release"] == "1.0.0"


def test_one_of_several_formats_must_be_named(cnr: Run, app: str, chart: MakeChart) -> None:
    assert cnr("push", chart(), app + "@1.0.0", "-t", "kubernetes").code == 0
    refused = cnr("delete", app + "@1.0.0")
    assert refused.code == 2
    assert "has the formats helm, kubernetes: choose one with -t" in refused.err
    assert cnr("delete", app + "@1.0.0", "-t", "kpm").code == 3
    assert cnr("delete", app + "@1.0.0", "-t", "kubernetes").code == 0
    assert cnr("delete", app + "@1.0.0").code == 0


@pytest.mark.parametrize("selector", ["", "@default", "@>=1.0", "@1.0", ":stable", "@sha256:" + "0" * 64])
def test_only_an_exact_release_is_deleted(cnr: Run, app: str, selector: str) -> None:
    refused = cnr("delete", app + selector)
    assert refused.code == 2
    assert "say exactly which release" in refused.err
    assert len(cnr("show", app, "--output", "json").json) == 2

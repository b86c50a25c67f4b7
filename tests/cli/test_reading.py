"""`cnr show`, `list`, `search`, `inspect` and `version`: every one in every form of output."""

import json
import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from cnr import __version__

Run = Callable[..., Any]
MakeChart = Callable[..., Path]


@pytest.fixture
def app(cnr: Run, home: str, chart: MakeChart) -> str:
    """A package with releases 1.0.0 (stable) and 1.1.0, the first also as kubernetes: its HOST/ns/name."""
    assert cnr("push", chart(), home, "-c", "stable").code == 0
    assert cnr("push", chart(version="1.1.0"), home).code == 0
    assert cnr("push", chart(), f"{home}/app@1.0.0", "-t", "kubernetes").code == 0
    return f"{home}/app"


def test_show_as_text(cnr: Run, app: str) -> None:
    lines = cnr("show", app).out.splitlines()
    assert lines[0].split() == ["RELEASE", "FORMAT", "DIGEST"]
    assert [line.split()[:2] for line in lines[1:]] == [["1.0.0", "helm"], ["1.1.0", "helm"], ["1.0.0", "kubernetes"]]
    assert all(len(line.split()[2]) == 12 for line in lines[1:])


def test_show_wide(cnr: Run, app: str) -> None:
    heading, line = cnr("show", app + "@1.1.0", "-w").out.splitlines()
    assert heading.split() == ["RELEASE", "FORMAT", "DIGEST", "SIZE", "CREATED"]
    release, format, digest, size, created = line.split()
    assert (release, format) == ("1.1.0", "helm")
    assert len(digest) == len("sha256:") + 64
    assert int(size) > 0
    assert created.startswith("20")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["@1.0.0"], ["1.0.0 helm", "1.0.0 kubernetes"]),
        ([":stable"], ["1.0.0 helm", "1.0.0 kubernetes"]),
        (["@>1.0.0"], ["1.1.0 helm"]),
        (["@default"], ["1.1.0 helm"]),
        (["", "-t", "kubernetes"], ["1.0.0 kubernetes"]),
        (["@1.0.0", "-t", "helm"], ["1.0.0 helm"]),
        (["", "-t", "application/vnd.cnr.package.kubernetes.v1.tar+gzip"], ["1.0.0 kubernetes"]),
        (["", "-v", "1.1.0"], ["1.1.0 helm"]),
    ],
)
def test_show_selects(cnr: Run, app: str, words: list[str], found: list[str]) -> None:
    lines = cnr("show", app + words[0], *words[1:]).out.splitlines()[1:]
    assert [" ".join(line.split()[:2]) for line in lines] == found


def test_show_by_digest(cnr: Run, app: str) -> None:
    [manifest] = cnr("show", app + "@1.1.0", "--output", "json").json
    digest = manifest["content"]["digest"]
    assert cnr("show", f"{app}@sha256:{digest}", "--output", "json").json == [manifest]


@pytest.mark.parametrize("words", [["@9.9.9"], ["@>9"], [":none"], ["@1.1.0", "-t", "kpm"], ["-missing"]])
def test_show_of_what_is_not_there(cnr: Run, app: str, words: list[str]) -> None:
    missing = cnr("show", app + words[0], *words[1:])
    assert (missing.code, missing.out) == (3, "")
    assert missing.err.count("\n") == 1


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_show_for_programs(cnr: Run, app: str, output: str) -> None:
    shown = yaml.safe_load(cnr("show", app, "--output", output).out)
    assert [item["release"] for item in shown] == ["1.0.0", "1.1.0", "1.0.0"]
    assert set(shown[0]) == {"package", "release", "mediaType", "content", "created_at"}


def test_list(cnr: Run, registry: str, home: str, app: str) -> None:
    namespace = home.partition("/")[2]
    heading, line = cnr("list", home).out.splitlines()
    assert heading.split() == ["PACKAGE", "RELEASE", "FORMATS"]
    assert line.split() == [app, "1.1.0", "helm"]
    for words in ([registry, "-o", namespace], [registry, "-s", f"{namespace}/a"], [home, "-u", "somebody"]):
        assert [item["name"] for item in cnr("list", *words, "--output", "json").json] == [f"{namespace}/app"]
    [item] = cnr("list", home, "-t", "kubernetes", "--output", "json").json
    assert (item["default"], item["manifests"]) == ("1.0.0", ["kubernetes"])
    assert yaml.safe_load(cnr("list", home, "--output", "yaml").out)[0]["releases"] == ["1.1.0", "1.0.0"]
    assert cnr("list", home, "-t", "kpm", "--output", "json").json == []
    assert cnr("list", home, "-o", "other").code == 2
    assert cnr("list", app).code == 2


def test_search(cnr: Run, registry: str, home: str, chart: MakeChart) -> None:
    assert cnr("push", chart(name="zebrafinch"), home).code == 0
    namespace = home.partition("/")[2]
    heading, line = cnr("search", registry, f"{namespace}/zebra").out.splitlines()
    assert heading.split() == ["PACKAGE", "RELEASE", "DESCRIPTION"]
    assert line.split(maxsplit=2) == [f"{home}/zebrafinch", "1.0.0", "The zebrafinch of the tests"]
    [found] = cnr("search", registry, "zebrafinch", "--output", "json").json
    assert (found["name"], found["formats"]) == (f"{namespace}/zebrafinch", ["helm"])
    assert yaml.safe_load(cnr("search", registry, "zebrafinch", "--output", "yaml").out) == [found]
    assert cnr("search", registry, "zebrafinch", "-t", "kpm", "--output", "json").json == []
    assert cnr("search", registry, "no-such-thing-at-all", "--output", "json").json == []


def test_search_turns_pages(cnr: Run, registry: str, home: str, chart: MakeChart) -> None:
    for name in ("okapi-a", "okapi-b", "okapi-c"):
        assert cnr("push", chart(name=name), home).code == 0
    found = cnr("search", registry, "okapi", "-n", "2", "--output", "json").json
    assert len(found) == 2


def test_inspect_lists_files(cnr: Run, app: str) -> None:
    expected = ["app/Chart.yaml", "app/templates/service.yaml"]
    assert cnr("inspect", app).out.splitlines() == expected
    assert cnr("inspect", app, "--tree").out.splitlines() == expected
    listing = cnr("inspect", app + "@1.1.0", "--output", "json").json
    assert listing["output"].splitlines() == expected
    assert [file["path"] for file in listing["files"]] == expected
    assert (listing["release"], listing["media_type"]) == ("1.1.0", "helm")
    assert yaml.safe_load(cnr("inspect", app + "@1.1.0", "--output", "yaml").out) == listing


def test_inspect_prints_a_file(cnr: Run, app: str) -> None:
    printed = cnr("inspect", app + "@1.1.0", "-f", "./app/templates/service.yaml")
    assert printed.out == "kind: Service # 1.1.0\n"
    asked = cnr("inspect", app + "@1.1.0", "-f", "app/templates/service.yaml", "--output", "json").json
    assert (asked["output"], asked["file"]) == (printed.out, "app/templates/service.yaml")
    missing = cnr("inspect", app, "-f", "nothing")
    assert missing.code == 3
    assert "has no file 'nothing'" in missing.err
    assert cnr("inspect", app, "--tree", "-f", "x").code == 2


def test_inspect_of_bytes_that_are_no_text(cnr: Run, home: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "logo").write_bytes(b"\xff\x00")
    assert cnr("push", tmp_path / "package", f"{home}/app@1.0.0", "-t", "kubernetes").code == 0
    asked = cnr("inspect", f"{home}/app", "-f", "logo", "--output", "json").json
    assert (asked["output"], asked["encoding"]) == ("/wA=", "base64")


def test_names_from_an_archive_are_printed_without_control_characters(cnr: Run, home: str, tmp_path: Path) -> None:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("\x1b[31mred\n\u202e.txt"))
    (tmp_path / "hostile.tgz").write_bytes(out.getvalue())
    assert cnr("push", tmp_path / "hostile.tgz", f"{home}/app@1.0.0", "-t", "kpm").code == 0
    assert cnr("inspect", f"{home}/app").out == "\\x1b[31mred\\n\\u202e.txt\n"
    asked = cnr("inspect", f"{home}/app", "--output", "json")
    assert asked.out.isascii()
    assert "\x1b" not in asked.out
    assert json.loads(asked.out)["files"][0]["path"] == "\x1b[31mred\n\u202e.txt"


def test_version(cnr: Run, registry: str) -> None:
    assert cnr("version").out == f"client {__version__}\n"
    assert cnr("version", "--output", "json").json == {"client": __version__}
    both = cnr("version", registry, "--output", "json").json
    assert both["registry"] == f"http://{registry}"
    assert {"cnr-api", "appr-api"} <= set(both["server"])
    assert cnr("version", registry).out.splitlines()[1].startswith("server ")
    assert yaml.safe_load(cnr("version", registry, "--output", "yaml").out) == both

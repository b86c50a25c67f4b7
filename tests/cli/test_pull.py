"""`cnr pull`: what the reference selects, where it goes, and that nothing unchecked is kept."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
MakeChart = Callable[..., Path]


@pytest.fixture
def app(cnr: Run, home: str, chart: MakeChart) -> str:
    """A package with releases 1.0.0 (stable), 1.2.0 and 2.0.0-rc.1: its HOST/ns/name."""
    for version in ("1.0.0", "1.2.0", "2.0.0-rc.1"):
        assert cnr("push", chart(version=version), home).code == 0
    assert cnr("channel", f"{home}/app@1.0.0", "-c", "stable", "--set-release").code == 0
    return f"{home}/app"


def stem(app: str, release: str) -> str:
    return f"{app.split('/')[1]}_app_{release}"


@pytest.mark.parametrize(
    ("selector", "release"),
    [
        ("", "2.0.0-rc.1"),
        ("@default", "2.0.0-rc.1"),
        ("@1.2.0", "1.2.0"),
        (":stable", "1.0.0"),
        ("@*", "1.2.0"),
        ("@<1.2", "1.0.0"),
        ("@>=1.0,<2.0-", "2.0.0-rc.1"),
        ("@^1.0", "1.2.0"),
    ],
)
def test_selectors(cnr: Run, app: str, selector: str, release: str) -> None:
    pulled = cnr("pull", app + selector)
    assert (pulled.code, pulled.out) == (0, stem(app, release) + "\n")
    chart = Path(stem(app, release), "app", "Chart.yaml").read_text()
    assert f"version: {release}\n" in chart


def test_the_release_may_come_as_an_option(cnr: Run, app: str) -> None:
    assert cnr("pull", app, "-v", "1.0.0").out == stem(app, "1.0.0") + "\n"
    assert cnr("pull", app, "--version", ":stable", "--tarball").out == stem(app, "1.0.0") + ".tar.gz\n"
    assert cnr("pull", app + "@1.0.0", "-v", "1.0.0").code == 2
    assert cnr("pull", app, "-v", "latest").code == 2


def test_by_digest(cnr: Run, app: str) -> None:
    [manifest] = cnr("show", app + "@1.0.0", "--output", "json").json
    digest = manifest["content"]["digest"]
    pulled = cnr("pull", f"{app}@sha256:{digest}", "--output", "json").json
    assert pulled == {
        "pull": app.partition("/")[2],
        "media_type": None,
        "version": None,
        "digest": digest,
        "path": stem(app, digest[:8]),
    }
    assert cnr("pull", f"{app}@sha256:{'0' * 64}").code == 3


@pytest.mark.parametrize("output", ["json", "yaml"])
def test_the_answer(cnr: Run, app: str, output: str) -> None:
    pulled = cnr("pull", app + "@1.0.0", "--dest", "deep/er", "--output", output)
    assert pulled.code == 0
    if output == "json":
        assert (pulled.json["version"], pulled.json["media_type"]) == ("1.0.0", "helm")
    else:
        assert "version: 1.0.0\n" in pulled.out
    assert Path("deep/er", stem(app, "1.0.0"), "app", "Chart.yaml").is_file()


@pytest.mark.parametrize("selector", ["@9.9.9", "@>9", ":none", "-x"])
def test_what_is_not_there(cnr: Run, app: str, selector: str) -> None:
    missing = cnr("pull", app + selector, "--dest", "new")
    assert missing.code == 3
    assert missing.err.count("\n") == 1
    assert not Path("new").exists()


def test_several_formats_need_a_choice(cnr: Run, app: str, chart: MakeChart) -> None:
    assert cnr("push", chart(), f"{app}@1.0.0", "-t", "kubernetes").code == 0
    assert cnr("pull", app + "@1.0.0").code == 1
    assert cnr("pull", app + "@1.0.0", "-t", "kubernetes").code == 0
    assert cnr("pull", app + "@1.0.0", "-t", "kpm").code == 3


def test_the_format_may_come_from_the_environment(cnr: Run, app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPR_DEFAULT_MEDIA_TYPE", "kpm")
    assert cnr("pull", app).code == 3
    monkeypatch.setenv("APPR_DEFAULT_MEDIA_TYPE", "-")
    assert cnr("pull", app).code == 0


def test_an_existing_folder_is_kept_unless_forced(cnr: Run, app: str) -> None:
    folder = Path(stem(app, "1.0.0"))
    folder.mkdir()
    (folder / "mine").write_text("mine")
    refused = cnr("pull", app + "@1.0.0")
    assert (refused.code, refused.err) == (4, f"cnr: {folder} exists: remove it, or replace it with --force\n")
    assert (folder / "mine").read_text() == "mine"
    assert cnr("pull", app + "@1.0.0", "--force").code == 0
    assert [path.name for path in folder.iterdir()] == ["app"]
    assert [path.name for path in Path().iterdir() if path.name.startswith(".cnr")] == []


def test_an_archive_is_replaced(cnr: Run, app: str) -> None:
    archive = Path(stem(app, "1.0.0") + ".tar.gz")
    archive.write_text("old")
    assert cnr("pull", app + "@1.0.0", "--tarball").code == 0
    assert gzip.decompress(archive.read_bytes())
    umask = os.umask(0)
    os.umask(umask)
    assert archive.stat().st_mode & 0o777 == 0o644 & ~umask
    archive.unlink()
    archive.mkdir()
    assert cnr("pull", app + "@1.0.0", "--tarball").code == 4


def hostile(name: str, kind: bytes, target: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        first = tarfile.TarInfo("first")
        first.size = 1
        tar.addfile(first, io.BytesIO(b"x"))
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        tar.addfile(member)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "kind", "target"),
    [
        ("../escaped", tarfile.REGTYPE, ""),
        ("/tmp/cnr-escaped", tarfile.REGTYPE, ""),
        ("a/../../escaped", tarfile.REGTYPE, ""),
        ("link", tarfile.SYMTYPE, "/etc/passwd"),
        ("link", tarfile.SYMTYPE, "../../escaped"),
        ("hard", tarfile.LNKTYPE, "/etc/passwd"),
        ("hard", tarfile.LNKTYPE, "../../escaped"),
        ("device", tarfile.CHRTYPE, ""),
        ("pipe", tarfile.FIFOTYPE, ""),
    ],
)
def test_a_hostile_archive_is_stored_and_listed_but_not_extracted(
    cnr: Run, home: str, tmp_path: Path, name: str, kind: bytes, target: str
) -> None:
    archive = tmp_path / "hostile.tgz"
    archive.write_bytes(hostile(name, kind, target))
    assert cnr("push", archive, f"{home}/app@1.0.0", "-t", "kpm").code == 0
    before = sorted(path.name for path in tmp_path.iterdir())
    refused = cnr("pull", f"{home}/app")
    assert refused.code == 7
    assert refused.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert not Path("/tmp/cnr-escaped").exists()
    assert "first" in cnr("inspect", f"{home}/app").out
    kept = cnr("pull", f"{home}/app", "--tarball")
    assert Path(kept.out.strip()).read_bytes() == archive.read_bytes()


def test_a_full_or_forbidden_place_is_a_sentence(cnr: Run, app: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refused = cnr("pull", app, "--dest", tmp_path / "file" / "below")
    assert refused.code == 1
    assert refused.err == f"cnr: Not a directory: {tmp_path}/file/below\n"

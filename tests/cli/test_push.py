"""`cnr push`: what is read from a package, what must be given, and what the registry then has."""

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
MakeChart = Callable[..., Path]


def package_of(home: str, name: str = "app") -> str:
    return f"{home.partition('/')[2]}/{name}"


def test_a_chart_needs_no_more_than_a_namespace(cnr: Run, home: str, chart: MakeChart) -> None:
    pushed = cnr("push", chart(), home)
    assert (pushed.code, pushed.out, pushed.err) == (0, f"{package_of(home)} 1.0.0 (helm) pushed\n", "")
    [manifest] = cnr("show", f"{home}/app", "--output", "json").json
    assert (manifest["package"], manifest["release"]) == (package_of(home), "1.0.0")
    assert manifest["mediaType"] == "application/vnd.cnr.package-manifest.helm.v1.json"
    assert "metadata" not in manifest


def test_the_namespace_may_come_as_an_option(cnr: Run, home: str, registry: str, chart: MakeChart) -> None:
    namespace = home.partition("/")[2]
    assert cnr("push", chart(), registry, "--ns", namespace).code == 0
    assert cnr("push", chart(version="2.0.0"), home, "--namespace", namespace).code == 0
    assert cnr("push", chart(version="3.0.0"), home, "--ns", "other").code == 2
    missing = cnr("push", chart(), registry)
    assert missing.code == 2
    assert missing.err.startswith("cnr: the namespace cannot be read from Chart.yaml and must be given: ")


def test_the_current_directory_is_the_default(
    cnr: Run, home: str, chart: MakeChart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chart())
    assert cnr("push", home).code == 0


def test_what_is_given_wins_over_what_is_read(cnr: Run, home: str, chart: MakeChart) -> None:
    assert cnr("push", chart(), f"{home}/other@2.0.0", "-t", "kubernetes").code == 0
    [manifest] = cnr("show", f"{home}/other@2.0.0", "--output", "json").json
    assert manifest["mediaType"] == "application/vnd.cnr.package-manifest.kubernetes.v1.json"
    assert cnr("push", chart(), f"{home}/other", "-v", "3.0.0").code == 0
    assert cnr("push", chart(), f"{home}/other@2.0.0", "-v", "3.0.0").code == 2


def test_a_kpm_manifest_says_everything(cnr: Run, registry: str, home: str, tmp_path: Path) -> None:
    namespace = home.partition("/")[2]
    folder = tmp_path / "kpm"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(f"package:\n  name: {namespace}/tool\n  version: 1.0.0-rc.1\n")
    pushed = cnr("push", folder, registry, "--output", "json")
    assert pushed.json == {
        "package": f"{namespace}/tool",
        "version": "1.0.0-rc.1",
        "media_type": "kpm",
        "pushed": True,
        "channel": None,
    }


@pytest.mark.parametrize(
    ("file", "content", "where", "missing"),
    [
        ("compose.yaml", "services: {}\n", "", "the name and release"),
        ("compose.yaml", "name: app\nservices: {}\n", "", "the release"),
        ("docker-compose.yml", "services: {}\n", "/app", "the release"),
        ("manifest.jsonnet", "{}\n", "/app", "the release"),
    ],
)
def test_what_cannot_be_read_must_be_given(
    cnr: Run, home: str, tmp_path: Path, file: str, content: str, where: str, missing: str
) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / file).write_text(content)
    refused = cnr("push", folder, home + where)
    assert refused.code == 2
    assert refused.err.startswith(f"cnr: {missing} cannot be read from {file} and must be given: ")
    assert refused.err.count("\n") == 1
    assert cnr("push", folder, f"{home}/app@1.0.0").code == 0


def test_a_folder_without_a_manifest_needs_a_format(cnr: Run, home: str, tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "pod.yaml").write_text("kind: Pod\n")
    refused = cnr("push", tmp_path / "package", f"{home}/app@1.0.0")
    assert refused.code == 1
    assert refused.err.endswith("at its top: give its format with -t\n")
    assert cnr("push", tmp_path / "package", f"{home}/app@1.0.0", "-t", "kubernetes").code == 0


@pytest.mark.parametrize(("version", "words"), [("1.10", "full SemVer"), ("v1.0.0", "full SemVer"), ('""', "must be")])
def test_a_chart_whose_version_is_none(cnr: Run, home: str, chart: MakeChart, version: str, words: str) -> None:
    refused = cnr("push", chart(version=version), home)
    assert refused.code == 2
    assert words in refused.err


def test_names_are_checked_before_anything_is_sent(cnr: Run, registry: str, chart: MakeChart) -> None:
    assert "upper-case letters: use 'my'" in cnr("push", chart(), f"{registry}/My/app").err
    assert "reserved" in cnr("push", chart(), f"{registry}/charts/app").err
    assert cnr("push", chart(), f"{registry}/charts/app").code == 2


def test_a_release_is_published_once_unless_forced(cnr: Run, home: str, chart: MakeChart) -> None:
    assert cnr("push", chart(), home).code == 0
    again = cnr("push", chart(), home)
    assert again.code == 4
    assert again.out == ""
    assert again.err.count("\n") == 1
    assert cnr("push", chart(), home, "-f").code == 0
    assert cnr("push", chart(), home, "-t", "kpm", "--force").code in (2, 1)


def test_a_channel_moves_even_if_the_release_is_there(cnr: Run, home: str, chart: MakeChart) -> None:
    first = cnr("push", chart(), home, "-c", "stable")
    assert first.out == f"{package_of(home)} 1.0.0 (helm) pushed; channel stable is now at 1.0.0\n"
    again = cnr("push", chart(), home, "-c", "beta", "--output", "json")
    assert again.code == 0
    assert again.err == f"cnr: {package_of(home)} 1.0.0 is already published and was left as it is\n"
    assert (again.json["pushed"], again.json["channel"]) == (False, "beta")
    channels = cnr("channel", f"{home}/app", "--output", "json").json
    assert [(channel["name"], channel["current"]) for channel in channels] == [("beta", "1.0.0"), ("stable", "1.0.0")]


def test_a_bad_channel_publishes_nothing(cnr: Run, home: str, chart: MakeChart) -> None:
    refused = cnr("push", chart(), home, "-c", "1.0.0")
    assert refused.code == 2
    assert cnr("show", f"{home}/app").code == 3


def test_an_archive_is_pushed_as_it_is(cnr: Run, home: str, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name in ("app/Chart.yaml", "app/values.yaml"):
            member = tarfile.TarInfo(name)
            content = b"name: app\nversion: 3.1.0\n" if name.endswith("Chart.yaml") else b""
            member.size, member.mtime = len(content), 1
            tar.addfile(member, io.BytesIO(content))
    archive = tmp_path / "app.tgz"
    archive.write_bytes(gzip.compress(packed.getvalue(), 1))
    assert cnr("push", archive, home).code == 0
    pulled = cnr("pull", f"{home}/app", "--tarball", "--output", "json").json
    assert Path(pulled["path"]).read_bytes() == archive.read_bytes()
    assert pulled["digest"] == hashlib.sha256(packed.getvalue()).hexdigest()


def test_what_is_packed_comes_back(cnr: Run, home: str, chart: MakeChart) -> None:
    folder = chart(**{"values.yaml": "a: 1\n", ".helmignore": ".helmignore\n*.bak\n", "x.bak": ""})
    assert cnr("push", folder, home).code == 0
    pulled = Path(cnr("pull", f"{home}/app").out.strip())
    files = {str(path.relative_to(pulled)): path.read_bytes() for path in pulled.rglob("*") if path.is_file()}
    assert files == {
        "app/Chart.yaml": (folder / "Chart.yaml").read_bytes(),
        "app/templates/service.yaml": (folder / "templates" / "service.yaml").read_bytes(),
        "app/values.yaml": b"a: 1\n",
    }


def test_packing_twice_gives_the_same_digest(cnr: Run, home: str, chart: MakeChart) -> None:
    digests = []
    for release in ("1.0.0", "2.0.0"):
        assert cnr("push", chart(), f"{home}/app@{release}").code == 0
        [manifest] = cnr("show", f"{home}/app@{release}", "--output", "json").json
        digests.append(manifest["content"]["digest"])
    assert digests[0] == digests[1]


@pytest.mark.parametrize("source", ["missing", "missing/Chart.yaml"])
def test_what_is_not_there_cannot_be_pushed(cnr: Run, home: str, source: str) -> None:
    refused = cnr("push", source, home)
    assert (refused.code, refused.err) == (1, f"cnr: No such file or directory: {source}\n")


def test_a_text_file_is_no_archive(cnr: Run, home: str, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    refused = cnr("push", tmp_path / "text", f"{home}/app@1.0.0", "-t", "helm")
    assert refused.code == 1
    assert "cannot be pushed: " in refused.err


def test_a_package_above_the_limit_of_the_server_is_refused_in_a_sentence(cnr: Run, home: str, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    folder.mkdir()
    (folder / "noise").write_bytes(random.Random(0).randbytes(50 * 1024 * 1024))
    refused = cnr("push", folder, f"{home}/app@1.0.0", "-t", "kubernetes")
    assert (refused.code, refused.out) == (1, "")
    assert re.fullmatch(r"cnr: the body is longer than \d+ bytes\n", refused.err)


CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def test_corpus_packages_make_the_round_trip(cnr: Run, registry: str, home: str) -> None:
    entries = json.loads((CORPUS / "index.json").read_text())
    namespace = home.partition("/")[2]
    chosen = [entry for number, entry in enumerate(entries) if number % 11 == 0]
    assert {entry["format"] for entry in chosen} == {"helm", "kpm", "docker-compose"}
    for entry in chosen:
        name, release = entry["package"].partition("/")[2], entry["release"]
        reference = f"{registry}/{namespace}/{name}@{release}"
        pushed = cnr("push", CORPUS / entry["file"], reference, "-t", entry["format"])
        assert pushed.code == 0, pushed.err
        pulled = cnr("pull", reference, "-t", entry["format"], "--tarball", "--output", "json").json
        assert pulled["digest"] == entry["cnr_digest"]
        assert hashlib.sha256(Path(pulled["path"]).read_bytes()).hexdigest() == entry["oci_digest"].partition(":")[2]
        tree = Path(cnr("pull", reference, "-t", entry["format"], "--dest", "trees").out.strip())
        with tarfile.open(CORPUS / entry["file"]) as tar:
            assert sum(path.is_file() for path in tree.rglob("*")) == sum(member.isfile() for member in tar)

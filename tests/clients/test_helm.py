"""helm 3 and helm 4 push, pull, show and render charts over OCI."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import httpx
import pytest
from tests.clients.charts import chart_file, chart_folder
from tests.clients.program import Helm, Program

REAL = (("kafka", "32.4.4"), ("argo-cd", "10.1.1"), ("ingress-nginx", "4.12.0-beta.0"), ("mysql", "1.6.9"))
"""Charts of the corpus: with dependencies, large, a prerelease, and one of API version v1."""


@pytest.mark.parametrize(("name", "version"), REAL)
def test_a_real_chart_comes_back_byte_for_byte(
    helm: Helm, namespace: str, corpus: Path, http: httpx.Client, name: str, version: str
) -> None:
    sent = corpus / "helm" / f"{name}-{version}.tgz"
    digest = helm.push(sent, namespace)
    assert helm.archive(f"{namespace}/{name}", "--version", version).read_bytes() == sent.read_bytes()
    answer = http.head(f"/v2/{namespace}/{name}/manifests/{version}")
    assert answer.headers["docker-content-digest"] == digest


def test_show_and_template(helm: Helm, namespace: str, tmp_path: Path) -> None:
    folder = chart_folder(tmp_path, "web", "1.0.0", text="tea")
    helm.run("package", folder, "--destination", tmp_path)
    helm.push(tmp_path / "web-1.0.0.tgz", namespace)
    path = f"{namespace}/web"
    assert "description: Says tea\n" in helm.show("chart", path)
    assert helm.show("values", path) == "text: tea\n\n"
    assert helm.show("readme", path).startswith("# web\n")
    everything = helm.show("all", path)
    assert all(part in everything for part in ("version: 1.0.0", "text: tea", "# web"))
    rendered = helm.run.out("template", "mine", helm.url(path), "--plain-http", "--set", "text=coffee")
    assert "metadata: {name: mine}" in rendered
    assert "data: {text: coffee}" in rendered


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_an_install_can_be_tried(helm: Helm, namespace: str, tmp_path: Path) -> None:
    """Helm 4 alone: helm 3.22 asks a cluster even with --dry-run=client."""
    helm.push(chart_file(tmp_path, "web", "1.0.0", text="tea"), namespace)
    printed = helm.run("install", "mine", helm.url(f"{namespace}/web"), "--dry-run=client", "--plain-http")
    assert "data: {text: tea}" in printed


def test_the_same_chart_can_be_pushed_again(helm: Helm, namespace: str, tmp_path: Path, http: httpx.Client) -> None:
    """From another machine as well, where the file has another time and so the manifest another digest. Case 102."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    os.utime(archive, (1_700_000_000, 1_700_000_000))
    first = helm.push(archive, namespace)
    show = http.get(f"/cnr/api/v1/packages/{namespace}/web/1.0.0/helm").json()
    assert helm.push(archive, namespace) == first
    os.utime(archive, (1_800_000_000, 1_800_000_000))
    second = helm.push(archive, namespace)
    assert second != first
    answer = http.get(f"/v2/{namespace}/web/manifests/1.0.0")
    assert answer.headers["docker-content-digest"] == second
    assert http.get(f"/cnr/api/v1/packages/{namespace}/web/1.0.0/helm").json()["content"] == show["content"]


def test_other_content_as_the_same_version_is_refused_in_words(helm: Helm, namespace: str, tmp_path: Path) -> None:
    first = chart_file(tmp_path / "one", "web", "1.0.0", text="tea")
    helm.push(first, namespace)
    second = chart_file(tmp_path / "two", "web", "1.0.0", text="coffee")
    printed = helm.run.refused("push", second, helm.url(namespace), "--plain-http")
    assert "denied: the release 1.0.0 exists with other content: releases are immutable" in printed
    assert helm.archive(f"{namespace}/web").read_bytes() == first.read_bytes()


def test_of_pushes_at_the_same_time_one_wins(helm: Helm, namespace: str, tmp_path: Path) -> None:
    """Each other one is told that the release exists, and the winner's chart is what is pulled."""
    archives = [chart_file(tmp_path / str(number), "web", "1.0.0", text=str(number)) for number in range(6)]

    def push(archive: Path) -> "CompletedProcess[str]":
        return helm.run.attempt("push", archive, helm.url(namespace), "--plain-http")

    with ThreadPoolExecutor(len(archives)) as pool:
        done = dict(zip(archives, pool.map(push, archives), strict=True))
    (winner,) = (archive for archive, each in done.items() if each.returncode == 0)
    assert sum("releases are immutable" in each.stderr for each in done.values()) == len(archives) - 1
    assert helm.archive(f"{namespace}/web").read_bytes() == winner.read_bytes()


@pytest.mark.parametrize(
    ("path", "said"),
    [("nothing", "there is no repository"), ("nothing:1.0.0", "not found"), ("web:2.0.0", "not found")],
)
def test_what_is_not_there_is_not_found(helm: Helm, namespace: str, tmp_path: Path, path: str, said: str) -> None:
    helm.push(chart_file(tmp_path, "web", "1.0.0"), namespace)
    assert said in helm.run.refused("pull", helm.url(f"{namespace}/{path}"), "--plain-http")


def test_a_name_that_no_registry_can_hold_is_refused_in_words(helm: Helm, tmp_path: Path) -> None:
    """The server's own sentence, which names what is wrong."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    printed = helm.run.refused("push", archive, helm.url("api"), "--plain-http")
    assert "the namespace 'api' is reserved: choose another" in printed


def test_versions_with_build_metadata(helm: Helm, namespace: str, tmp_path: Path, http: httpx.Client) -> None:
    """The tag has `_`, which helm alone writes; all else keeps `+`, and each build is a release. Case 78."""
    files = {build: chart_file(tmp_path, "web", f"1.0.0+{build}", text=build) for build in ("b.1", "b.2")}
    for archive in files.values():
        helm.push(archive, namespace)
    path = f"{namespace}/web"
    assert http.get(f"/v2/{path}/tags/list").json()["tags"] == ["1.0.0_b.1", "1.0.0_b.2"]
    manifest = json.loads(http.get(f"/v2/{path}/manifests/1.0.0_b.1").content)
    assert manifest["annotations"]["org.opencontainers.image.version"] == "1.0.0+b.1"
    releases = http.get(f"/cnr/api/v1/packages/{path}").json()
    assert {each["release"] for each in releases} == {"1.0.0+b.1", "1.0.0+b.2"}
    for build, archive in files.items():
        found = helm.archive(path, "--version", f"1.0.0+{build}")
        assert found.name == f"web-1.0.0+{build}.tgz"
        assert found.read_bytes() == archive.read_bytes()


def test_dependencies(helm: Helm, namespace: str, tmp_path: Path) -> None:
    """By exact version and by range; `dependency build` brings what the lock says, also when there is a newer one."""
    for version in ("1.0.0", "1.4.0", "2.0.0"):
        helm.push(chart_file(tmp_path, "web", version), namespace)
    needs = "".join(
        f"- {{name: web, alias: {alias}, version: '{version}', repository: '{helm.url(namespace)}'}}\n"
        for alias, version in (("exact", "1.0.0"), ("range", "^1.1"))
    )
    folder = chart_folder(tmp_path, "app", "0.1.0", more=f"dependencies:\n{needs}")
    helm.run("dependency", "update", folder, "--plain-http")
    assert _names(folder / "charts") == ["web-1.0.0.tgz", "web-1.4.0.tgz"]
    helm.push(chart_file(tmp_path, "web", "1.5.0"), namespace)
    for each in (folder / "charts").iterdir():
        each.unlink()
    helm.run("dependency", "build", folder, "--plain-http")
    assert _names(folder / "charts") == ["web-1.0.0.tgz", "web-1.4.0.tgz"]
    helm.run("dependency", "update", folder, "--plain-http")
    assert _names(folder / "charts") == ["web-1.0.0.tgz", "web-1.5.0.tgz"]


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


PLUGIN = """apiVersion: v1
type: cli/v1
name: greet
version: 1.0.0
runtime: subprocess
config: {usage: greet, shortHelp: Greets, longHelp: Greets, ignoreFlags: false}
runtimeConfig: {platformCommand: [{command: "$HELM_PLUGIN_DIR/greet.sh"}]}
"""


@pytest.mark.parametrize("helm", ["helm4"], indirect=True)
def test_a_plugin_is_installed_from_an_artifact(helm: Helm, oras: Program, namespace: str, tmp_path: Path) -> None:
    """Helm 4 has no command that pushes one: oras does, with the artifact type that helm looks for."""
    folder = tmp_path / "greet"
    folder.mkdir()
    (folder / "plugin.yaml").write_text(PLUGIN)
    (folder / "greet.sh").write_text("#!/bin/sh\necho hello\n")
    (folder / "greet.sh").chmod(0o755)
    helm.run("plugin", "package", folder, "--sign=false")
    kind = ("--artifact-type", "application/vnd.helm.plugin.v1+json")
    oras("push", "--plain-http", *kind, f"{helm.site}/{namespace}/greet:1.0.0", "greet-1.0.0.tgz")
    helm.run("plugin", "install", helm.url(f"{namespace}/greet:1.0.0"), "--plain-http", "--verify=false")
    assert helm.run.out("greet") == "hello\n"

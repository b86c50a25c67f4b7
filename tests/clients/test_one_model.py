"""What one protocol pushes, the others serve: helm, the CNR API and its command over the same packages."""

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path

import httpx
import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Helm, Program
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.packages import tar_digest
from tests.protocols.oci.client import INDEX, MANIFEST

EVERY = 1 if os.environ.get("CNR_LONG") == "1" else 20
"""Helm pushes each chart of the corpus in the long form, else each 20th."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_helm_pushes_is_a_package_at_once(
    helm: Helm, command: Program, namespace: str, corpus: Path, tmp_path: Path
) -> None:
    """Listed, found, shown and pulled by `cnr`, with the digest of the tar. Case 70."""
    sent = corpus / "helm" / "kafka-32.4.4.tgz"
    helm.push(sent, namespace)
    here = f"{helm.site}/{namespace}"
    (listed,) = json.loads(command.out("list", here, "--output", "json"))
    assert (listed["name"], listed["releases"], listed["manifests"]) == (f"{namespace}/kafka", ["32.4.4"], ["helm"])
    found = json.loads(command.out("search", helm.site, "distributed streaming", "--output", "json"))
    assert f"{namespace}/kafka" in [each["name"] for each in found]
    (shown,) = json.loads(command.out("show", f"{here}/kafka@32.4.4", "--output", "json"))
    assert shown["content"]["digest"] == tar_digest(sent.read_bytes())
    assert shown["content"]["size"] == sent.stat().st_size
    command("pull", f"{here}/kafka@32.4.4", "--tarball", "--dest", tmp_path / "got")
    (got,) = (tmp_path / "got").iterdir()
    assert got.read_bytes() == sent.read_bytes()


def test_charts_of_the_corpus_have_the_digests_of_their_tars(
    helm: Helm, namespace: str, corpus: Path, api: Cnr
) -> None:
    charts = [each for each in json.loads((corpus / "index.json").read_text()) if each["format"] == "helm"]
    for chart in charts[::EVERY]:
        helm.push(corpus / chart["file"], namespace)
        name = chart["package"].partition("/")[2]
        content = done(api.show(f"{namespace}/{name}", chart["release"]))["content"]
        assert (content["digest"], content["size"]) == (chart["cnr_digest"], chart["size"]), chart


def test_a_chart_that_is_copied_under_another_name_is_no_package(
    helm: Helm, command: Program, oras: Program, namespace: str, tmp_path: Path
) -> None:
    """Stored and pulled as it is, as in any registry; the CNR API knows only what it can name. Case 83."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    helm.push(archive, namespace)
    here = f"{helm.site}/{namespace}"
    for copy in ("site:1.0.0", "web:2.0.0"):
        oras("copy", "--from-plain-http", "--to-plain-http", f"{here}/web:1.0.0", f"{here}/{copy}")
        assert helm.archive(f"{namespace}/{copy}").read_bytes() == archive.read_bytes()
    (listed,) = json.loads(command.out("list", here, "--output", "json"))
    assert (listed["name"], listed["releases"]) == (f"{namespace}/web", ["1.0.0"])


@pytest.mark.parametrize("again", ["helm3", "helm4"])
def test_two_helms_agree(
    helm: Helm, again: str, namespace: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """What one version of helm pushed, another pushes again and pulls."""
    other = Helm(request.getfixturevalue("helms")[again], helm.site)
    archive = chart_file(tmp_path, "web", "1.0.0")
    assert helm.push(archive, namespace) == other.push(archive, namespace)
    assert other.archive(f"{namespace}/web").read_bytes() == archive.read_bytes()


def test_what_cnr_pushes_helm_pulls_byte_for_byte(helm: Helm, command: Program, namespace: str, corpus: Path) -> None:
    """Case 72, and the same for case 71."""
    sent = corpus / "helm" / "kafka-32.4.4.tgz"
    command("push", sent, f"{helm.site}/{namespace}")
    got = helm.archive(f"{namespace}/kafka")
    assert got.name == sent.name
    assert got.read_bytes() == sent.read_bytes()


def test_a_chart_with_its_files_at_the_root_of_the_tar_reaches_helm_in_a_folder(
    helm: Helm, command: Program, namespace: str, tmp_path: Path, http: httpx.Client
) -> None:
    """As the old command packed them. CNR keeps the pushed bytes; helm gets one file that it can load. Case 72."""
    sent = chart_file(tmp_path, "web", "1.0.0", text="tea", top="")
    command("push", sent, f"{helm.site}/{namespace}")
    path = f"{namespace}/web"
    got = helm.archive(path).read_bytes()
    assert sorted(_members(got)) == ["web/Chart.yaml", "web/templates/map.yaml", "web/values.yaml"]
    assert "data: {text: tea}" in helm.run.out("template", "mine", helm.url(path), "--plain-http")
    manifest = json.loads(http.get(f"/v2/{path}/manifests/1.0.0").content)
    assert manifest["layers"][0]["digest"] == f"sha256:{sha256(got)}"
    kept = http.get(f"/cnr/api/v1/packages/{path}/1.0.0/helm/pull", params={"format": "raw"}).content
    assert sha256(gzip.decompress(kept)) == sha256(gzip.decompress(sent.read_bytes()))


def _members(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return [each.name for each in tar if each.isfile()]


@pytest.mark.parametrize("helm", ["helm318", "helm3", "helm4"], indirect=True)
@pytest.mark.parametrize("first", ["helm", "cnr"])
def test_a_chart_stays_a_chart_to_helm_when_a_format_is_added(
    helm: Helm, command: Program, namespace: str, tmp_path: Path, http: httpx.Client, first: str, corpus: Path
) -> None:
    """The tag still means the chart; the index is there for who asks for nothing else. Cases 74 to 76.

    Helm 3.18 to 3.20.0 and 4.0 to 4.1.1 cannot pull a chart whose tag means an index.
    """
    archive = chart_file(tmp_path, "web", "1.0.0")
    path, here = f"{namespace}/web", f"{helm.site}/{namespace}/web@1.0.0"
    if first == "helm":
        helm.push(archive, namespace)
    else:
        command("push", archive, here)
    before = http.head(f"/v2/{path}/manifests/1.0.0").headers["docker-content-digest"]
    command("push", corpus / "kpm" / "kube-ui-1.0.0.tgz", here, "--media-type", "kpm")
    assert helm.archive(path).read_bytes() == archive.read_bytes()
    assert helm.version_of(path, "--version", "1.0.0") == "1.0.0"
    answer = http.get(f"/v2/{path}/manifests/1.0.0", headers={"accept": f"{MANIFEST}, {INDEX}"})
    assert answer.headers["docker-content-digest"] == before
    index = http.get(f"/v2/{path}/manifests/1.0.0", headers={"accept": INDEX})
    assert index.headers["content-type"] == INDEX
    chart, kpm = json.loads(index.content)["manifests"]
    assert chart["digest"] == before
    assert (chart["annotations"]["dev.cnr.format"], kpm["annotations"]["dev.cnr.format"]) == ("helm", "kpm")


def test_a_tag_that_helm_can_name_moves_a_channel(
    helm: Helm, namespace: str, tmp_path: Path, api: Cnr, oras: Program
) -> None:
    """A channel is made by the CNR API and moved by `oras tag`. Case 101."""
    path = f"{namespace}/web"
    for version in ("1.0.0", "1.1.0"):
        helm.push(chart_file(tmp_path, "web", version), namespace)
    done(api.post(f"/{path}/channels/1/1.0.0"))
    assert helm.version_of(path, "--version", "1") == "1.0.0"
    oras("tag", "--plain-http", f"{helm.site}/{path}:1.1.0", "1", "stable")
    assert helm.version_of(path, "--version", "1") == "1.1.0"
    channels = {each["name"]: each["current"] for each in done(api.get(f"/{path}/channels"))}
    assert channels == {"1": "1.1.0", "stable": "1.1.0"}


def test_a_release_that_cnr_deletes_is_gone_for_helm(
    helm: Helm, command: Program, namespace: str, tmp_path: Path
) -> None:
    archive = chart_file(tmp_path, "web", "1.0.0")
    helm.push(archive, namespace)
    command("delete", f"{helm.site}/{namespace}/web@1.0.0", "--media-type", "helm")
    assert "not found" in helm.run.refused("pull", helm.url(f"{namespace}/web:1.0.0"), "--plain-http")
    helm.push(archive, namespace)
    assert helm.archive(f"{namespace}/web").read_bytes() == archive.read_bytes()

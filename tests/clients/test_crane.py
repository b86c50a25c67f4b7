"""crane, whose code Flux and many others use: strict about where a Location points."""

import json
from pathlib import Path

import pytest
from tests.clients.charts import chart_file
from tests.clients.images import Layout, blobs
from tests.clients.program import Program
from tests.protocols.cnr.packages import gz, tar


@pytest.fixture
def pushed(crane: Program, site: str, namespace: str, tmp_path: Path) -> str:
    """A repository with the index `v1` of two images."""
    layout = Layout(tmp_path / "layout")
    layout.name("amd", layout.image(b"a" * 1000, b"amd"))
    layout.name("arm", layout.image(b"a" * 1000, b"arm", architecture="arm64"))
    repository = f"{site}/{namespace}/image"
    crane("push", "--index", "layout", f"{repository}:v1")
    return repository


def test_push_and_pull(crane: Program, pushed: str, tmp_path: Path) -> None:
    crane("validate", "--remote", f"{pushed}:v1")
    crane("pull", "--format", "oci", f"{pushed}:v1", "back")
    index = crane.out("manifest", f"{pushed}:v1")
    assert json.loads(index) == json.loads((tmp_path / "layout" / "index.json").read_text())
    assert blobs(tmp_path / "layout") < blobs(tmp_path / "back")
    assert crane.out("export", "--platform", "linux/arm64", f"{pushed}:v1", "-").count("arm") == 1


def test_lists_tags_and_deletes(crane: Program, pushed: str, site: str) -> None:
    """Unlike skopeo and oras it deletes the tag alone."""
    crane("tag", f"{pushed}:v1", "v2")
    assert crane.out("ls", pushed).split() == ["v1", "v2"]
    assert pushed.partition("/")[2] in crane.out("catalog", site).split()
    digest = crane.out("digest", f"{pushed}:v1").strip()
    crane("delete", f"{pushed}:v2")
    assert crane.out("ls", pushed).split() == ["v1"]
    crane("delete", f"{pushed}@{digest}")
    assert crane.out("ls", pushed).split() == []


def test_copies(crane: Program, pushed: str, site: str, other: str, namespace: str) -> None:
    """Within a server by mounts, into another by streams."""
    for target in (site, other):
        crane("copy", f"{pushed}:v1", f"{target}/{namespace}/copy:v1")
        assert crane.out("digest", f"{target}/{namespace}/copy:v1") == crane.out("digest", f"{pushed}:v1")
        crane("validate", "--remote", f"{target}/{namespace}/copy:v1")


def test_an_image_is_built_on_another(crane: Program, pushed: str, tmp_path: Path) -> None:
    (tmp_path / "layer.tar.gz").write_bytes(gz(tar({"added": b"new"})))
    crane("append", "--platform", "linux/amd64", "-b", f"{pushed}:v1", "-f", "layer.tar.gz", "-t", f"{pushed}:v2")
    crane("mutate", f"{pushed}:v2", "--label", "a=b", "--tag", f"{pushed}:v3")
    assert json.loads(crane.out("config", f"{pushed}:v3"))["config"]["Labels"] == {"a": "b"}
    assert len(json.loads(crane.out("manifest", f"{pushed}:v3"))["layers"]) == 3


def test_a_chart_with_another_format_is_one_image(
    crane: Program, command: Program, site: str, namespace: str, corpus: Path, tmp_path: Path
) -> None:
    """As Flux and Argo CD read it: one layer, which is the chart. Case 76."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    here = f"{site}/{namespace}/web"
    command("push", archive, f"{here}@1.0.0")
    command("push", corpus / "kpm" / "kube-ui-1.0.0.tgz", f"{here}@1.0.0", "--media-type", "kpm")
    (layer,) = json.loads(crane.out("manifest", f"{here}:1.0.0"))["layers"]
    crane("pull", "--format", "oci", f"{here}:1.0.0", "chart")
    pulled = tmp_path / "chart" / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")
    assert pulled.read_bytes() == archive.read_bytes()

"""skopeo copies images in and out, between formats and servers, inspects, lists, synchronises and deletes them."""

import json
from pathlib import Path

import httpx
import pytest
from tests.clients.charts import chart_file
from tests.clients.images import Layout, blobs
from tests.clients.program import Program
from tests.protocols.oci.client import INDEX, MANIFEST

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
INTO, OUT = "--dest-tls-verify=false", "--src-tls-verify=false"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def image(site: str, namespace: str) -> str:
    return f"docker://{site}/{namespace}/image"


def type_of(http: httpx.Client, image: str, tag: str) -> str:
    repository = image.removeprefix("docker://").partition("/")[2]
    return str(http.head(f"/v2/{repository}/manifests/{tag}").headers["content-type"])


def test_images_come_back_byte_for_byte(
    skopeo: Program, layout: Layout, image: str, http: httpx.Client, tmp_path: Path
) -> None:
    layout.both()
    for name, kind in (("one", MANIFEST), ("multi", INDEX)):
        skopeo("copy", "--all", INTO, f"oci:layout:{name}", f"{image}:{name}")
        assert type_of(http, image, name) == kind
        skopeo("copy", "--all", OUT, f"{image}:{name}", f"oci:back:{name}")
    assert blobs(tmp_path / "back") == blobs(tmp_path / "layout")


def test_docker_schema_2(skopeo: Program, layout: Layout, image: str, http: httpx.Client, tmp_path: Path) -> None:
    layout.both()
    for name, kind in (("one", DOCKER), ("multi", DOCKER_LIST)):
        skopeo("copy", "--all", "--format", "v2s2", INTO, f"oci:layout:{name}", f"{image}:{name}")
        assert type_of(http, image, name) == kind
        skopeo("copy", "--all", OUT, f"{image}:{name}", f"dir:{name}")
        assert json.loads((tmp_path / name / "manifest.json").read_text())["mediaType"] == kind


def test_layers_packed_anew_with_zstd(skopeo: Program, layout: Layout, image: str, http: httpx.Client) -> None:
    layout.name("plain", layout.image(b"z" * 5000))
    # From a folder, as skopeo packs anew only what is not packed already.
    skopeo("copy", "--dest-decompress", "oci:layout:plain", "dir:unpacked")
    skopeo("copy", INTO, "--dest-compress-format", "zstd", "dir:unpacked", f"{image}:zstd")
    manifest = json.loads(skopeo.out("inspect", "--raw", "--tls-verify=false", f"{image}:zstd"))
    assert [layer["mediaType"] for layer in manifest["layers"]] == ["application/vnd.oci.image.layer.v1.tar+zstd"]
    skopeo("copy", OUT, f"{image}:zstd", "dir:back")


def test_from_one_repository_into_another(
    skopeo: Program, layout: Layout, image: str, site: str, other: str, namespace: str
) -> None:
    """On one server the layers are mounted; into another they are sent."""
    layout.both()
    skopeo("copy", "--all", INTO, "oci:layout:multi", f"{image}:multi")
    copies = [f"docker://{each}/{namespace}/copy:multi" for each in (site, other)]
    for copy in copies:
        skopeo("copy", "--all", OUT, INTO, f"{image}:multi", copy)
    raw = [skopeo.out("inspect", "--raw", "--tls-verify=false", each) for each in (f"{image}:multi", *copies)]
    assert raw[0] == raw[1] == raw[2]


def test_inspect_and_list(skopeo: Program, layout: Layout, image: str) -> None:
    one, _ = layout.both()
    for tag in ("1.0", "latest", "1.0-rc"):
        skopeo("copy", INTO, "oci:layout:one", f"{image}:{tag}")
    found = json.loads(skopeo.out("inspect", "--tls-verify=false", f"{image}:latest"))
    assert (found["Digest"], found["Architecture"], len(found["Layers"])) == (one, "amd64", 3)
    assert found["RepoTags"] == ["1.0", "1.0-rc", "latest"]
    assert json.loads(skopeo.out("list-tags", "--tls-verify=false", image))["Tags"] == ["1.0", "1.0-rc", "latest"]
    assert json.loads(skopeo.out("inspect", "--config", "--tls-verify=false", f"{image}@{one}"))["os"] == "linux"


def test_skopeo_deletes_the_manifest_and_so_all_its_tags(skopeo: Program, layout: Layout, image: str) -> None:
    """It asks which digest a tag has, and deletes that. Source: seen with skopeo 1.9.3."""
    layout.both()
    for tag, name in (("a", "one"), ("b", "one"), ("multi", "multi")):
        skopeo("copy", "--all", INTO, f"oci:layout:{name}", f"{image}:{tag}")
    skopeo("delete", "--tls-verify=false", f"{image}:a")
    assert json.loads(skopeo.out("list-tags", "--tls-verify=false", image))["Tags"] == ["multi"]
    skopeo("copy", "--all", OUT, f"{image}:multi", "oci:back:multi")


def test_a_repository_is_synchronised(
    skopeo: Program, layout: Layout, image: str, other: str, namespace: str, tmp_path: Path
) -> None:
    """All tags into a folder, and from there into another server."""
    layout.both()
    for name in ("one", "multi"):
        skopeo("copy", "--all", INTO, f"oci:layout:{name}", f"{image}:{name}")
    source = image.removeprefix("docker://")
    skopeo("sync", "--all", "--src", "docker", "--dest", "dir", OUT, source, "mirror")
    assert {each.name for each in (tmp_path / "mirror").iterdir()} == {"image:one", "image:multi"}
    skopeo("sync", "--all", "--src", "dir", "--dest", "docker", INTO, "mirror", f"{other}/{namespace}")
    copy = f"docker://{other}/{namespace}/image"
    for name in ("one", "multi"):
        here, there = (skopeo.out("inspect", "--raw", "--tls-verify=false", f"{each}:{name}") for each in (image, copy))
        assert here == there


def test_an_image_under_a_version_is_a_release_that_stays(
    skopeo: Program, layout: Layout, image: str, http: httpx.Client
) -> None:
    """A tag x.y.z cannot be moved, of whatever it is; all other tags can."""
    layout.both()
    skopeo("copy", INTO, "oci:layout:one", f"{image}:1.0.0")
    skopeo("copy", INTO, "oci:layout:one", f"{image}:1.0.0")
    printed = skopeo.refused("copy", "--all", INTO, "oci:layout:multi", f"{image}:1.0.0")
    assert "releases are immutable" in printed
    for name in ("one", "multi"):
        skopeo("copy", "--all", INTO, f"oci:layout:{name}", f"{image}:latest")
    assert (type_of(http, image, "1.0.0"), type_of(http, image, "latest")) == (MANIFEST, INDEX)


def test_a_chart_is_mirrored_into_another_server(
    skopeo: Program, crane: Program, command: Program, site: str, other: str, namespace: str, tmp_path: Path
) -> None:
    """Through a folder by skopeo, at once by crane: it is the same release there. `inspect` reads it --raw only."""
    command("push", chart_file(tmp_path, "web", "1.0.0"), f"{site}/{namespace}")
    skopeo("sync", "--src", "docker", "--dest", "dir", OUT, f"{site}/{namespace}/web", "mirror")
    skopeo("sync", "--src", "dir", "--dest", "docker", INTO, "mirror", f"{other}/{namespace}")
    crane("copy", f"{site}/{namespace}/web:1.0.0", f"{other}/{namespace}-crane/web:1.0.0")
    words = ("--output", "json")
    shown = [
        json.loads(command.out("show", f"{place}/web@1.0.0", *words))[0]["content"]
        for place in (f"{site}/{namespace}", f"{other}/{namespace}", f"{other}/{namespace}-crane")
    ]
    assert shown[0] == shown[1] == shown[2]
    image = f"docker://{other}/{namespace}/web:1.0.0"
    skopeo("inspect", "--raw", "--tls-verify=false", image)
    skopeo.refused("inspect", "--tls-verify=false", image)

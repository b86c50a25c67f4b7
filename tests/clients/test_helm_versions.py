"""How helm finds a version: ranges over many tags, exact versions, channels, digests."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.clients.charts import chart_file
from tests.clients.program import Helm
from tests.clients.recorder import Recorder, recorder
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import CHART_LAYER, HELM_CONFIG, Oci, chart_archive, descriptor, image

MANY: Final = "many/web"
NOT_CHOSEN: Final = ("v9.9.9", "9.9", "10", "sha256-00.sig", "stable", "1.9.9-rc.1", "3.0.0-alpha")
"""Tags that no range means: prereleases, and what is not x.y.z."""


@pytest.fixture(scope="module")
def many(http: httpx.Client) -> str:
    """A repository with 300 versions from 1.0.0 to 2.9.9, and other tags. Also 1.2.3+7, newer than 1.2.3 to no one."""
    oci = Oci(http, MANY)
    for number in range(300):
        _chart(oci, f"{number // 100}.{number // 10 % 10}.{number % 10}")
    for version in ("1.9.9-rc.1", "3.0.0-alpha"):
        _chart(oci, version)
    for tag in NOT_CHOSEN:
        if tag not in ("1.9.9-rc.1", "3.0.0-alpha"):
            oci.image(tag, tag.encode())
    return MANY


def _chart(oci: Oci, version: str) -> None:
    archive = chart_archive("web", version)
    config = json.dumps({"name": "web", "version": version, "apiVersion": "v2"}).encode()
    for blob in (config, archive):
        assert oci.call("POST", "blobs/uploads/", params={"digest": descriptor(blob, "")["digest"]}, content=blob)
    data = image(config=config)
    found = json.loads(data) | {"config": descriptor(config, HELM_CONFIG), "layers": [descriptor(archive, CHART_LAYER)]}
    assert oci.put(version, json.dumps(found).encode()).status_code == 201


def _paged(target: str) -> str:
    return f"{target}?n=40" if target.endswith("/tags/list") else target


@pytest.fixture
def pages(server: Server) -> Iterator[Recorder]:
    """The server, behind a proxy that asks for 40 tags where helm asks for all."""
    with recorder(server.url, aim=_paged) as running:
        yield running


@pytest.mark.parametrize(
    ("wanted", "version"),
    [
        ("", "2.9.9"),
        ("^1.2", "1.9.9"),
        ("~1.2", "1.2.9"),
        ("~1.2.3", "1.2.9"),
        (">=1.0.0", "2.9.9"),
        (">=1.0.0, <1.5", "1.4.9"),
        ("1.x", "1.9.9"),
        ("^0.3.1", "0.3.9"),
        (">1.9.8-0 <2", "1.9.9"),
        (">=3.0.0-0", "3.0.0-alpha"),
        ("1.9.9-rc.1", "1.9.9-rc.1"),
    ],
)
def test_ranges_over_300_tags(many: str, helm: Helm, pages: Recorder, wanted: str, version: str) -> None:
    """Helm follows the pages of the list of tags to their end. Case 81."""
    found = helm.at(pages.host)
    assert found.version_of(many, *(("--version", wanted) if wanted else ())) == version
    lists = [each for each in pages.taken() if "/tags/list" in each.target]
    assert len(lists) == (0 if wanted == version else 8)
    assert all("link" in each.answered for each in lists[:-1])


def test_a_range_that_nothing_satisfies(many: str, helm: Helm) -> None:
    printed = helm.run.refused("pull", helm.url(many), "--version", "^7", "--plain-http")
    assert "could not locate a version matching" in printed.lower()


def test_only_prereleases_are_no_newest(helm: Helm, namespace: str, tmp_path: Path) -> None:
    helm.push(chart_file(tmp_path, "web", "1.0.0-beta.1"), namespace)
    path = f"{namespace}/web"
    helm.run.refused("pull", helm.url(path), "--plain-http")
    assert helm.version_of(path, "--devel") == "1.0.0-beta.1"


@pytest.mark.parametrize("wanted", ["1", "1.0"])
def test_a_short_version_is_a_tag_and_so_may_be_a_channel(
    helm: Helm, namespace: str, tmp_path: Path, api: Cnr, wanted: str
) -> None:
    """Helm asks for the tag `1`, which is the channel of that name. Case 82."""
    path = f"{namespace}/web"
    for version in ("1.0.0", "1.0.1"):
        helm.push(chart_file(tmp_path, "web", version), namespace)
    assert "not found" in helm.run.refused("pull", helm.url(path), "--version", wanted, "--plain-http")
    done(api.post(f"/{path}/channels/{wanted}/1.0.0"))
    assert helm.version_of(path, "--version", wanted) == "1.0.0"


def test_helm_takes_no_channel_whose_name_is_a_word(helm: Helm, namespace: str, tmp_path: Path, api: Cnr) -> None:
    """Helm wants a version or a range before it asks the registry; the digest behind the channel it takes."""
    path = f"{namespace}/web"
    for version in ("1.0.0", "2.0.0"):
        helm.push(chart_file(tmp_path, "web", version), namespace)
    done(api.post(f"/{path}/channels/stable/1.0.0"))
    assert "improper constraint" in helm.run.refused("pull", helm.url(f"{path}:stable"), "--plain-http")
    pin = api.http.head(f"/v2/{path}/manifests/stable").headers["docker-content-digest"]
    assert helm.version_of(f"{path}@{pin}") == "1.0.0"
    assert helm.version_of(path) == "2.0.0"


def test_a_digest_pins_also_after_another_format_was_added(
    helm: Helm, namespace: str, tmp_path: Path, api: Cnr
) -> None:
    """What `helm push` printed holds, with the tag and without. Case 77."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    path = f"{namespace}/web"
    pin = helm.push(archive, namespace)
    done(api.push(path, "1.0.0", "kpm"))
    for reference in (f"{path}@{pin}", f"{path}:1.0.0@{pin}"):
        assert helm.archive(reference).read_bytes() == archive.read_bytes()
    assert helm.archive(f"{path}@{pin}", "--version", "1.0.0").read_bytes() == archive.read_bytes()


def test_a_pin_outlives_a_push_of_the_same_chart(helm: Helm, namespace: str, tmp_path: Path) -> None:
    """The tag follows the newest manifest of the same content, so the older digest is right without the tag only."""
    archive = chart_file(tmp_path, "web", "1.0.0")
    pins = []
    for moment in (1_700_000_000, 1_800_000_000):
        os.utime(archive, (moment, moment))
        pins.append(helm.push(archive, namespace))
    path = f"{namespace}/web"
    assert [helm.version_of(f"{path}@{pin}") for pin in pins] == ["1.0.0", "1.0.0"]
    assert helm.version_of(f"{path}:1.0.0@{pins[1]}") == "1.0.0"
    assert "digest mismatch" in helm.run.refused("pull", helm.url(f"{path}:1.0.0@{pins[0]}"), "--plain-http")


def test_another_digest_than_the_tags_is_a_mismatch(helm: Helm, namespace: str, tmp_path: Path) -> None:
    pins = {v: helm.push(chart_file(tmp_path, "web", v), namespace) for v in ("1.0.0", "1.0.1")}
    wrong = helm.url(f"{namespace}/web:1.0.0@{pins['1.0.1']}")
    assert "digest mismatch" in helm.run.refused("pull", wrong, "--plain-http")

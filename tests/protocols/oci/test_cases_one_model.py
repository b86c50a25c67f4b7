"""One model: what is pushed over OCI is in the CNR API and the other way round. Cases of oci-helm.md section 7."""

import base64
import gzip
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from tests.protocols.oci.client import (
    CHART_LAYER,
    HELM_CONFIG,
    INDEX,
    MANIFEST,
    Oci,
    chart_archive,
    code,
    descriptor,
    digest,
    image,
)


def short(oci: Oci) -> str:
    return oci.name.rpartition("/")[2]


def cnr(oci: Oci, method: str, path: str = "", **options: Any) -> httpx.Response:
    return oci.http.request(method, f"/cnr/api/v1/packages/{oci.name}{path}", **options)


def cnr_push(oci: Oci, release: str, archive: bytes, format: str = "helm", **more: Any) -> httpx.Response:
    body = {"release": release, "media_type": format, "blob": base64.b64encode(archive).decode(), **more}
    return cnr(oci, "POST", json=body)


def releases(oci: Oci) -> set[tuple[str, str]]:
    answer = cnr(oci, "GET")
    if answer.status_code != 200:
        return set()
    return {(item["release"], item["mediaType"].split(".")[3]) for item in answer.json()}


def kpm(text: str = "a: 1") -> bytes:
    """A package that is no chart."""
    return chart_archive("kpm", "1.0.0", extra=text.encode())


def manifest_digest(oci: Oci, reference: str, accept: str = "*/*") -> str:
    answer = oci.call("HEAD", f"manifests/{reference}", headers={"accept": accept})
    return str(answer.headers.get("docker-content-digest", answer.status_code))


def test_case_70_helm_push_is_in_the_cnr_api(oci: Oci) -> None:
    assert oci.chart("1.2.3").status_code == 201
    archive = chart_archive(short(oci), "1.2.3")
    tar = hashlib.sha256(gzip.decompress(archive)).hexdigest()
    assert oci.tags() == ["1.2.3"]
    shown = cnr(oci, "GET", "/1.2.3/helm").json()
    assert shown["content"]["digest"] == tar
    assert shown["content"]["size"] == len(archive)
    assert cnr(oci, "GET", "/1.2.3/helm/pull").content == archive
    assert cnr(oci, "GET", f"/blobs/sha256/{tar}").content == archive
    listed = oci.http.get("/cnr/api/v1/packages", params={"namespace": "oci"}).json()
    assert oci.name in {item["name"] for item in listed}


def test_case_72_a_cnr_push_is_an_image(oci: Oci) -> None:
    archive = chart_archive(short(oci), "1.0.0")
    assert cnr_push(oci, "1.0.0", archive).status_code == 200
    manifest = oci.get("manifests/1.0.0").json()
    assert manifest["config"]["mediaType"] == HELM_CONFIG
    layer = manifest["layers"][0]
    assert layer["mediaType"] == CHART_LAYER
    assert oci.get(f"blobs/{layer['digest']}").content == archive
    assert oci.get(f"blobs/{manifest['config']['digest']}").json()["name"] == short(oci)


def test_cases_73_to_77_formats_of_one_release(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    pinned = manifest_digest(oci, "1.0.0")
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    assert manifest_digest(oci, "1.0.0") == pinned
    answer = oci.get("manifests/1.0.0", headers={"accept": INDEX})
    assert (answer.headers["content-type"], answer.headers["vary"]) == (INDEX, "Accept")
    found = answer.json()
    assert [child["artifactType"] for child in found["manifests"]] == [
        HELM_CONFIG,
        "application/vnd.cnr.package-manifest.kpm.v1.json",
    ]
    assert found["manifests"][0]["digest"] == pinned
    assert all("platform" not in child for child in found["manifests"])
    assert manifest_digest(oci, "1.0.0", INDEX) == digest(answer.content)
    assert manifest_digest(oci, "1.0.0", f"{INDEX}, {MANIFEST}") == pinned
    rows = oci.get(f"referrers/{pinned}").json()["manifests"]
    assert [row["digest"] for row in rows] == [digest(answer.content)]
    assert releases(oci) == {("1.0.0", "helm"), ("1.0.0", "kpm")}


def test_case_73_a_kpm_package_alone(oci: Oci) -> None:
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    found = oci.get("manifests/1.0.0").json()
    assert found["artifactType"] == "application/vnd.cnr.package-manifest.kpm.v1.json"
    assert oci.get(f"blobs/{found['layers'][0]['digest']}").content == kpm()


@pytest.mark.parametrize("vendor", ["cnr", "appr"])
def test_a_generic_package_over_oci(oci: Oci, vendor: str) -> None:
    archive = kpm()
    for blob in (b"{}", archive):
        oci.blob(blob)
    data = image(archive, artifactType=f"application/vnd.{vendor}.package-manifest.kpm.v2.json")
    assert oci.put("1.0.0", data).status_code == 201
    assert cnr(oci, "GET", "/1.0.0/kpm/pull").content == archive


def test_an_index_of_packages_over_oci(oci: Oci) -> None:
    archives = {"kpm": kpm(), "appr": kpm("b: 2")}
    children = []
    for format, archive in archives.items():
        for blob in (b"{}", archive):
            oci.blob(blob)
        data = image(archive, artifactType=f"application/vnd.cnr.package-manifest.{format}.v1.json")
        assert oci.put(digest(data), data).status_code == 201
        children.append(descriptor(data, MANIFEST))
    body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": children}
    assert oci.put("1.0.0", json.dumps(body).encode(), INDEX).status_code == 201
    for format, archive in archives.items():
        assert cnr(oci, "GET", f"/1.0.0/{format}/pull").content == archive
    assert oci.get("manifests/1.0.0").json() == body


def test_case_78_build_metadata(oci: Oci) -> None:
    assert oci.chart("1.0.0+b.1").status_code == 201
    assert oci.tags() == ["1.0.0_b.1"]
    assert releases(oci) == {("1.0.0+b.1", "helm")}


@pytest.mark.parametrize("tag", ["2.0.0", "latest"])
def test_case_83_a_chart_of_another_name_or_version(oci: Oci, tag: str) -> None:
    archive = chart_archive(short(oci), "1.0.0")
    for blob in (b"{}", archive):
        oci.blob(blob)
    found = {"schemaVersion": 2, "config": descriptor(b"{}", HELM_CONFIG), "layers": [descriptor(archive, CHART_LAYER)]}
    assert oci.put(tag, json.dumps(found).encode()).status_code == 201
    assert oci.get(f"manifests/{tag}").json() == found
    assert cnr(oci, "GET").status_code == 404
    if tag == "2.0.0":
        assert cnr_push(oci, tag, chart_archive(short(oci), tag)).status_code == 409


@pytest.mark.parametrize("archive", [b"no gzip", gzip.compress(b"\0" * 150_000_000, 1)], ids=["junk", "bomb"])
def test_case_104_a_broken_chart(oci: Oci, archive: bytes) -> None:
    for blob in (b"{}", archive):
        oci.blob(blob)
    found = {"schemaVersion": 2, "config": descriptor(b"{}", HELM_CONFIG), "layers": [descriptor(archive, CHART_LAYER)]}
    assert oci.put("1.0.0", json.dumps(found).encode()).status_code == 201
    assert cnr(oci, "GET").status_code == 404
    assert oci.get("manifests/1.0.0").status_code == 200


def test_immutable_releases(oci: Oci) -> None:
    """hostile-inputs: create versus update. A version moves to other content over no protocol."""
    assert oci.chart("1.0.0").status_code == 201
    before = manifest_digest(oci, "1.0.0")
    answer = oci.chart("1.0.0", extra=b"other: 1\n")
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    data = image()
    oci.blob(b"{}")
    answer = oci.put(digest(data), data, params={"tag": ["1.0.0", "fine"]})
    assert (answer.status_code, answer.headers.get_list("oci-tag")) == (201, ["fine"])
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 409
    assert manifest_digest(oci, "1.0.0") == before


def test_immutable_images(oci: Oci) -> None:
    data = oci.image("1.0.0", b"1")
    assert oci.put("1.0.0", data).status_code == 201
    oci.blob(b"2")
    answer = oci.put("1.0.0", image(b"2"))
    assert (answer.status_code, code(answer)) == (403, "DENIED")
    assert oci.get(f"manifests/{digest(image(b'2'))}").status_code == 404
    assert oci.call("DELETE", "manifests/1.0.0").status_code == 202
    assert oci.put("1.0.0", image(b"2")).status_code == 201


def test_case_102_the_same_chart_again(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    shown = cnr(oci, "GET", "/1.0.0/helm").json()
    old = manifest_digest(oci, "1.0.0")
    assert oci.chart("1.0.0", created="2026-02-02T00:00:00Z").status_code == 201
    assert manifest_digest(oci, "1.0.0") != old
    assert cnr(oci, "GET", "/1.0.0/helm").json() == shown


def test_case_103_two_encodings_of_one_tar(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    assert oci.chart("1.0.0", level=1, created="2026-02-02T00:00:00Z").status_code == 201
    first, second = (chart_archive(short(oci), "1.0.0", level=level) for level in (9, 1))
    assert first != second
    shown = cnr(oci, "GET", "/1.0.0/helm").json()["content"]
    pulled = cnr(oci, "GET", "/1.0.0/helm/pull").content
    assert (pulled, shown["size"]) == (first, len(first))
    layer = oci.get("manifests/1.0.0").json()["layers"][0]["digest"]
    assert oci.get(f"blobs/{layer}").content == second
    assert oci.call("DELETE", f"blobs/{digest(first)}").status_code == 405


def test_case_98_a_deleted_tag_is_a_deleted_release(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    assert oci.call("DELETE", "manifests/1.0.0").status_code == 202
    assert releases(oci) == set()
    assert oci.tags() == []
    assert oci.call("DELETE", "manifests/1.0.0").status_code == 404
    assert oci.chart("1.0.0", extra=b"new: 1\n").status_code == 201


def test_case_99_a_deleted_helm_manifest(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    at = manifest_digest(oci, "1.0.0")
    assert oci.call("DELETE", f"manifests/{at}").status_code == 202
    assert oci.get("manifests/1.0.0").status_code == 404
    assert releases(oci) == {("1.0.0", "kpm")}
    assert cnr(oci, "GET", "/1.0.0/kpm/pull").content == kpm()
    assert oci.chart("1.0.0", extra=b"new: 1\n").status_code == 201
    assert releases(oci) == {("1.0.0", "kpm"), ("1.0.0", "helm")}


def test_a_deleted_release_is_gone_from_oci(oci: Oci) -> None:
    assert cnr_push(oci, "1.0.0", chart_archive(short(oci), "1.0.0")).status_code == 200
    assert cnr(oci, "DELETE", "/1.0.0/helm").status_code == 200
    assert oci.get("manifests/1.0.0").status_code == 404
    assert oci.tags() == []


def test_case_101_channels_are_tags(oci: Oci) -> None:
    for version in ("1.0.0", "1.1.0"):
        assert oci.chart(version).status_code == 201
    assert cnr(oci, "POST", "/channels/stable/1.0.0").status_code == 200
    assert manifest_digest(oci, "stable") == manifest_digest(oci, "1.0.0")
    assert oci.tags() == ["1.0.0", "1.1.0", "stable"]
    newer = oci.get("manifests/1.1.0").content
    assert oci.put("stable", newer).status_code == 201
    found = cnr(oci, "GET", "/channels/stable").json()
    assert (found["current"], found["releases"]) == ("1.1.0", ["1.1.0", "1.0.0"])
    assert oci.call("DELETE", "manifests/1.1.0").status_code == 202
    assert manifest_digest(oci, "stable") == manifest_digest(oci, "1.0.0")
    assert oci.call("DELETE", "manifests/stable").status_code == 202
    assert cnr(oci, "GET", "/channels/stable").status_code == 404
    assert oci.tags() == ["1.0.0"]


@pytest.mark.parametrize("tag", [f"sha256-{'0' * 64}", f"sha512-{'0' * 128}"[:128], "sha256-x.sig"])
def test_a_tag_made_of_a_digest_is_no_channel(oci: Oci, tag: str) -> None:
    """As `cosign copy` pushes beside a chart: it showed as a channel that no request could name."""
    assert oci.chart("1.0.0").status_code == 201
    assert oci.put(tag, oci.get("manifests/1.0.0").content).status_code == 201
    assert cnr(oci, "GET", "/channels").json() == []
    assert manifest_digest(oci, tag) == manifest_digest(oci, "1.0.0")


def test_case_101_a_channel_without_releases_is_absent(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    assert oci.put("stable", oci.get("manifests/1.0.0").content).status_code == 201
    assert oci.call("DELETE", "manifests/1.0.0").status_code == 202
    assert oci.get("manifests/stable").status_code == 404
    assert oci.tags() == []
    assert oci.chart("1.0.0").status_code == 201
    assert oci.get("manifests/stable").status_code == 404, "what was deleted does not rise again"
    assert oci.tags() == ["1.0.0"]


def test_case_105_signatures_stay_listed(oci: Oci) -> None:
    assert oci.chart("1.0.0").status_code == 201
    signed = oci.get("manifests/1.0.0").content
    oci.blob(b"{}")
    signature = image(
        artifactType="application/vnd.dev.sigstore.bundle.v0.3+json", subject=descriptor(signed, MANIFEST)
    )
    assert oci.put(digest(signature), signature).status_code == 201
    assert cnr_push(oci, "1.0.0", kpm(), "kpm").status_code == 200
    query = {"artifactType": "application/vnd.dev.sigstore.bundle.v0.3+json"}
    rows = oci.get(f"referrers/{digest(signed)}", params=query).json()["manifests"]
    assert [row["digest"] for row in rows] == [digest(signature)]


def test_case_108_pushes_of_one_version(oci: Oci) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: oci.chart("1.0.0", extra=f"n: {n}\n".encode()), range(8)))
    assert sorted(answer.status_code for answer in answers) == [201] + [403] * 7
    won = next(answer for answer in answers if answer.status_code == 201)
    assert manifest_digest(oci, "1.0.0") == won.headers["docker-content-digest"]
    assert releases(oci) == {("1.0.0", "helm")}

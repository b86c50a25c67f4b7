"""Cases 38 to 41 and 51 to 56: manifests, releases and files of a package; case 82: times."""

import base64
import hashlib
import re

import pytest
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.packages import b64, chart, gz, tar, tar_digest

MANIFEST_KEYS = ["content", "created_at", "mediaType", "package", "release"]


def test_case_38_manifests_of_an_exact_release(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "kpm"))
    done(cnr.push(package, "1.0.0", "helm"))
    done(cnr.push(package, "1.1.0", "helm"))
    found = done(cnr.get(f"/{package}/1.0.0"))
    assert [sorted(item) for item in found] == [MANIFEST_KEYS, MANIFEST_KEYS]
    assert [item["mediaType"] for item in found] == [
        "application/vnd.cnr.package-manifest.helm.v1.json",
        "application/vnd.cnr.package-manifest.kpm.v1.json",
    ]
    assert done(cnr.get(f"/{package}/1.0.0?media_type=kpm")) == found[1:]
    assert done(cnr.get(f"/{package}/1.0.0?media_type=nope")) == []


@pytest.mark.parametrize("release", ["default", ">=1", "7.7.7", "1.0", "abc", "*"])
def test_case_38_any_other_text_is_not_found(cnr: Cnr, package: str, release: str) -> None:
    cnr.pushed(package, "1.0.0")
    details = {"package": package, "release": release, "media_type": None}
    refused(cnr.get(f"/{package}/{release}"), 404, "package-not-found", **details)
    refused(cnr.get(f"/{cnr.fresh()}/{release}"), 404, "package-not-found")


def test_case_39_releases_of_a_package(cnr: Cnr, package: str) -> None:
    for release, format in (("2.0.0", "helm"), ("1.0.0", "kpm"), ("1.0.0", "helm"), ("0.5.0", "helm")):
        done(cnr.push(package, release, format))
    found = done(cnr.get(f"/{package}"))
    assert [sorted(item) for item in found] == [MANIFEST_KEYS] * 4
    assert [item["release"] for item in found] == ["2.0.0", "1.0.0", "1.0.0", "0.5.0"]
    assert [item["mediaType"].split(".")[-3] for item in found] == ["helm", "kpm", "helm", "helm"]
    assert [item["created_at"] for item in found] == sorted(item["created_at"] for item in found)
    done(cnr.push(package, "2.0.0", "helm", query="?force=true"))
    assert done(cnr.get(f"/{package}"))[-1]["release"] == "2.0.0"
    refused(cnr.get(f"/{cnr.fresh()}"), 404, "package-not-found")


def test_case_40_releases_of_one_format(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, "1.0.0", "helm"))
    assert done(cnr.get(f"/{package}?media_type=kpm")) == []
    done(cnr.push(package, "1.1.0", "kpm"))
    for value in (
        "kpm",
        "application/vnd.cnr.package-manifest.kpm.v1.json",
        "application/vnd.appr.package.kpm.v0.tar+gzip",
    ):
        found = done(cnr.get(f"/{package}", params={"media_type": value}))
        assert [item["release"] for item in found] == ["1.1.0"], value
    by_body = cnr.site(f"/api/v1/packages/{package}", content='{"media_type": "kpm"}')
    assert [item["release"] for item in done(by_body)] == ["1.1.0"]


def test_case_41_a_trailing_slash_changes_nothing(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    done(cnr.post(f"/{package}/channels/stable/1.0.0/"))
    digest = done(cnr.show(package))["content"]["digest"]
    paths = (
        *("", "/search", f"/{package}", f"/{package}/1.0.0", f"/{package}/1.0.0/helm", f"/{package}/channels"),
        *(f"/{package}/channels/stable", f"/{package}/1.0.0/helm/pull", f"/{package}/1.0.0/helm/pull/json"),
        *(f"/{package}/blobs/sha256/{digest}", f"/{package}/blobs/sha256/{digest}/json"),
    )
    for path in paths:
        plain, slashed = cnr.get(path), cnr.get(f"{path}/")
        assert (plain.status_code, slashed.status_code) == (200, 200), path
        if path:  # the list of everything may grow meanwhile
            assert plain.content == slashed.content, path
    body = {"blob": b64(chart("slash")), "release": "2.0.0", "media_type": "helm"}
    done(cnr.post(f"/{package}/", json=body))
    done(cnr.delete(f"/{package}/channels/stable/1.0.0/"))
    done(cnr.delete(f"/{package}/2.0.0/helm/"))
    refused(cnr.show(package, "2.0.0"), 404, "package-release-not-found")


def test_case_51_pull(cnr: Cnr, package: str) -> None:
    blob = chart("pull")
    done(cnr.push(package, "1.2.3", blob=blob))
    flat = package.replace("/", "_")
    for query in ("1.2.3", "default", ">=1,<2"):
        answer = cnr.get(f"/{package}/{query}/helm/pull")
        assert answer.content == blob
        assert answer.headers["content-type"] == "application/x-gzip"
        assert answer.headers["content-disposition"] == f'attachment; filename="{flat}_1.2.3.tar.gz"'
        assert answer.headers["content-length"] == str(len(blob))
        assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("size", [1, 2, 3, 20_000, 300_000])
def test_case_52_pull_as_json(cnr: Cnr, package: str, size: int) -> None:
    noise = hashlib.shake_256(package.encode()).digest(size)
    blob = gz(tar({"app/Chart.yaml": b"name: app\nversion: 1.0.0\n", "app/noise": noise}))
    done(cnr.push(package, "1.2.3", blob=blob))
    wanted = {
        "blob": b64(blob),
        "filename": f"{package.replace('/', '_')}_1.2.3.tar.gz",
        "media_type": "helm",
        "package": package,
        "release": "1.2.3",
    }
    for path in ("pull?format=json", "pull/json", "pull/json?format=gzip"):
        answer = cnr.get(f"/{package}/default/-/{path}")
        assert done(answer) == wanted
        assert answer.headers["content-length"] == str(len(answer.content))
    for path in ("pull?format=JSON", "pull?format=", "pull?format=json2"):
        assert cnr.get(f"/{package}/default/-/{path}").content == blob


def test_case_52_format_is_read_from_the_query_string_only(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    answer = cnr.site(f"/api/v1/packages/{package}/1.0.0/helm/pull", "GET", content='{"format": "json"}')
    assert answer.headers["content-type"] == "application/x-gzip"


def test_case_53_blob_as_json(cnr: Cnr, package: str) -> None:
    blob = chart("json")
    done(cnr.push(package, blob=blob))
    digest = tar_digest(blob)
    wanted = {
        "blob": b64(blob),
        "filename": f"{package.replace('/', '_')}_{digest[:8]}.tar.gz",
        "package": package,
        "release": digest,
    }
    for path in (f"{digest}?format=json", f"{digest}/json"):
        assert done(cnr.get(f"/{package}/blobs/sha256/{path}")) == wanted
    assert cnr.get(f"/{package}/blobs/sha256/{digest}?format=JSON").content == blob


def test_case_54_blobs_that_are_not_there(cnr: Cnr, package: str) -> None:
    blob, elsewhere = chart("here"), chart("elsewhere")
    done(cnr.push(package, blob=blob))
    done(cnr.push(cnr.fresh(), blob=elsewhere))
    for digest in ("0" * 64, tar_digest(elsewhere), "12345", "g" * 64, hashlib.sha256(blob).hexdigest()):
        details = {"package": package, "release": digest, "media_type": None}
        refused(cnr.get(f"/{package}/blobs/sha256/{digest}"), 404, "package-not-found", **details)
        refused(cnr.get(f"/{package}/blobs/sha256/{digest}/json"), 404, "package-not-found", **details)
    digest = tar_digest(blob)
    refused(cnr.get(f"/{cnr.fresh()}/blobs/sha256/{digest}"), 404, "package-not-found")
    for path in (f"sha512/{digest}", "sha256/..%2f..%2freleases.json", f"sha1/{digest}", "sha256/../../1.0.0"):
        assert cnr.raw("GET", f"/api/v1/packages/{package}/blobs/{path}").status_code == 404


def test_case_55_head_has_the_headers_of_get_and_no_body(cnr: Cnr, package: str) -> None:
    blob = chart("head" * 9000)
    done(cnr.push(package, blob=blob))
    paths = ("", "/pull", "/pull/json", "/pull?format=json")
    for path in (*(f"/1.0.0/helm{end}" for end in paths), f"/blobs/sha256/{tar_digest(blob)}"):
        get, head = cnr.get(f"/{package}{path}"), cnr.site(f"/api/v1/packages/{package}{path}", "HEAD")
        assert (get.status_code, head.status_code) == (200, 200), path
        assert head.content == b""
        kept = ("content-length", "content-type", "content-disposition")
        assert [head.headers.get(name) for name in kept] == [get.headers.get(name) for name in kept], path
    assert cnr.site(f"/api/v1/packages/{package}/9.9.9/helm", "HEAD").status_code == 404


def test_case_55_options_and_cors(cnr: Cnr, package: str) -> None:
    answer = cnr.site(f"/api/v1/packages/{package}", "OPTIONS", headers={"Origin": "https://example.org"})
    assert answer.status_code == 200
    assert {word.strip() for word in answer.headers["allow"].split(",")} == {"GET", "HEAD", "OPTIONS", "POST"}
    preflight = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    for method, path in (("GET", ""), ("OPTIONS", f"/{package}"), ("GET", f"/{package}"), ("GET", "/a/b/c/d/e/f/g")):
        answer = cnr.site(f"/api/v1/packages{path}", method, headers=preflight)
        assert answer.headers["access-control-allow-origin"] == "*", (method, path)


def test_case_56_one_tar_has_one_gzip(cnr: Cnr, package: str) -> None:
    content = tar({"app/Chart.yaml": b"name: app\nversion: 1.0.0\n" * 50})
    first, second = gz(content, 9), gz(content, 1)
    assert first != second
    done(cnr.push(package, "1.0.0", blob=first))
    done(cnr.push(package, "1.1.0", blob=second))
    done(cnr.push(package, "1.1.0", "kpm", blob=second))
    found = [item["content"] for item in done(cnr.get(f"/{package}"))]
    assert {(item["digest"], item["size"]) for item in found} == {(tar_digest(first), len(first))}
    for release in ("1.0.0", "1.1.0"):
        assert cnr.get(f"/{package}/{release}/helm/pull").content == first
        assert base64.b64decode(done(cnr.get(f"/{package}/{release}/helm/pull/json"))["blob"]) == first


def test_case_82_times_have_microseconds(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    item = done(cnr.get(params={"query": package}))[0]
    for time in (done(cnr.show(package))["created_at"], item["created_at"], item["updated_at"]):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", time)

"""Cases 5 to 27: pushes that are accepted, and pushes that leave nothing behind."""

import base64
import gzip
import hashlib
import json
import re
from urllib.parse import quote, urlencode

import pytest
from tests.protocols.cnr.client import UNSET, Cnr, done, refused
from tests.protocols.cnr.packages import SEED_TAR, b64, chart, gz, seed_chart, tar, tar_digest

SEED = "myname/elasticsearch"
URLENCODED = {"Content-Type": "application/x-www-form-urlencoded"}


def push_seed(cnr: Cnr) -> None:
    """The README's push as curl -d sends it, on a server that may have it from the other prefix."""
    cnr.delete(f"/{SEED}/2.2.1/helm")
    body = json.dumps({"blob": b64(seed_chart()), "release": "2.2.1", "media_type": "helm"})
    answer = cnr.post(f"/{SEED}", content="\n" + body, headers=URLENCODED)
    assert done(answer) == {"status": "ok"}


def absent(cnr: Cnr, package: str) -> None:
    """A refused push left no package, no name in a list and no blob that could be read."""
    refused(cnr.get(f"/{package}"), 404, "package-not-found")
    assert cnr.names(package.partition("/")[0]) == []
    assert done(cnr.get("/search", params={"q": package})) == []


def blob_absent(cnr: Cnr, package: str, blob: bytes) -> None:
    refused(cnr.get(f"/{package}/blobs/sha256/{tar_digest(blob)}"), 404, "package-not-found")


def test_case_05_seed_push(cnr: Cnr) -> None:
    push_seed(cnr)


def test_case_06_seed_show_has_the_six_keys_that_the_seed_prints(cnr: Cnr) -> None:
    push_seed(cnr)
    shown = done(cnr.show(SEED, "2.2.1"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}", shown.pop("created_at"))
    assert shown == {
        "channels": [],
        "content": {
            "digest": SEED_TAR,
            "mediaType": "application/vnd.cnr.package.helm.v1.tar+gzip",
            "size": 583,
            "urls": [],
        },
        "mediaType": "application/vnd.cnr.package-manifest.helm.v1.json",
        "package": SEED,
        "release": "2.2.1",
    }


def test_case_07_seed_blob(cnr: Cnr) -> None:
    push_seed(cnr)
    answer = cnr.get(f"/{SEED}/blobs/sha256/{SEED_TAR}")
    assert answer.status_code == 200
    assert answer.content == seed_chart()
    assert answer.headers["content-type"] == "application/x-gzip"
    assert answer.headers["content-disposition"] == 'attachment; filename="myname_elasticsearch_72ed15c9.tar.gz"'


def test_case_08_a_blob_is_the_gzip_of_what_its_digest_names(cnr: Cnr) -> None:
    push_seed(cnr)
    answer = cnr.raw("GET", f"/api/v1/packages/{SEED}/blobs/sha256/{SEED_TAR}", {"Accept-Encoding": "gzip, br"})
    assert hashlib.sha256(gzip.decompress(answer.content)).hexdigest() == SEED_TAR
    assert "content-encoding" not in answer.headers
    assert answer.headers["content-length"] == "583"


def test_case_09_the_placeholder_blob_of_the_readme(cnr: Cnr, package: str) -> None:
    body = {"blob": "H4sIAP3mAFgAA....", "release": "2.2.1", "media_type": "helm"}
    refused(cnr.post(f"/{package}", json=body), 422, "invalid-parameters")
    absent(cnr, package)


def test_case_11_without_media_type_it_is_kpm(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, media_type=UNSET))
    shown = done(cnr.show(package, media_type="kpm"))
    assert shown["mediaType"] == "application/vnd.cnr.package-manifest.kpm.v1.json"


def test_case_12_the_same_release_and_format_again(cnr: Cnr, package: str) -> None:
    blob, other = chart("first"), chart("second")
    done(cnr.push(package, blob=blob))
    names = {"package": package, "release": "1.0.0", "media_type": "helm"}
    refused(cnr.push(package, blob=blob), 409, "package-exists", **names)
    refused(cnr.push(package, blob=other), 409, "package-exists", **names)
    assert done(cnr.show(package))["content"]["digest"] == tar_digest(blob)
    blob_absent(cnr, package, other)


def test_case_13_force_replaces_the_manifest_only(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0", "0.9.0")
    done(cnr.post(f"/{package}/channels/stable/1.0.0"))
    before, listed = done(cnr.show(package)), done(cnr.get(params={"query": package}))
    forced = chart("forced")
    assert done(cnr.push(package, blob=forced, query="?force=true")) == {"status": "ok"}
    after = done(cnr.show(package))
    assert after["created_at"] > before["created_at"]
    assert after["content"]["digest"] == tar_digest(forced)
    assert after["channels"] == ["stable"]
    assert done(cnr.get(params={"query": package}))[0]["created_at"] == listed[0]["created_at"]


@pytest.mark.parametrize("force", ["true", True, "TRUE", "True"])
def test_case_14_force_in_the_body(cnr: Cnr, package: str, force: object) -> None:
    cnr.pushed(package, "1.0.0")
    assert done(cnr.push(package, force=force)) == {"status": "ok"}


@pytest.mark.parametrize("force", ["false", "", "1", "yes", False, None, 1, ["true"], {"true": True}])
def test_case_14_anything_else_is_no_force(cnr: Cnr, package: str, force: object) -> None:
    cnr.pushed(package, "1.0.0")
    refused(cnr.push(package, force=force), 409, "package-exists")


def test_case_15_force_of_the_body_wins_over_the_query(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    refused(cnr.push(package, query="?force=true", force="false"), 409, "package-exists")
    done(cnr.push(package, query="?force=false", force="true"))


def test_case_16_another_format_needs_no_force(cnr: Cnr, package: str) -> None:
    done(cnr.push(package, media_type="helm"))
    done(cnr.push(package, media_type="kpm"))
    found = done(cnr.get(f"/{package}/1.0.0"))
    assert [item["mediaType"].split(".")[-3] for item in found] == ["helm", "kpm"]


NO_SEMVER = (
    *("abc", "1.0", "1", "v1.0.0", "01.0.0", "1.0.0-01", "", "1.0.0\n", "1.0.0-", "1.0.0+", " 1.0.0", "1.0.0 "),
    *("1.0.0-rc_1", "1.0.0.0", "default", ">=1.0.0", "1.0.0-é", "１.０.０", "1.0.0-" + "a" * 130, "1" * 5000 + ".0.0"),
)


@pytest.mark.parametrize("release", NO_SEMVER, ids=lambda text: repr(text[:12]))
def test_case_17_releases_that_are_no_semver(cnr: Cnr, package: str, release: str) -> None:
    error = refused(cnr.push(package, release), 422, "invalid-release")
    assert release.startswith(error["details"]["version"])
    absent(cnr, package)


@pytest.mark.parametrize("release", ["1.2.3", "1.0.0-rc.1", "1.0.0-x.7.z.92", "1.0.0+b1", "1.0.0--", "0.0.0"])
def test_case_17_releases_that_are(cnr: Cnr, package: str, release: str) -> None:
    cnr.pushed(package, release)
    assert done(cnr.show(package, quote(release)))["release"] == release


@pytest.mark.parametrize("release", [1, 1.5, None, True, [], {}, ["1.0.0"], {"a": 1}])
def test_case_18_releases_that_are_no_text(cnr: Cnr, package: str, release: object) -> None:
    refused(cnr.push(package, release), 400, "invalid-usage")
    absent(cnr, package)


def test_case_19_missing_fields(cnr: Cnr, package: str) -> None:
    refused(cnr.push(package, release=UNSET), 400, "invalid-usage")
    refused(cnr.post(f"/{package}", json={"release": "1.0.0", "media_type": "helm"}), 400, "invalid-usage")
    absent(cnr, package)


@pytest.mark.parametrize("body", ["", "not json", "[1]", "{}", "null", "1", '"text"', '{"blob":', "\x00", "{" * 1000])
@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_case_19_bodies_without_fields(cnr: Cnr, package: str, body: str, kind: str) -> None:
    answer = cnr.post(f"/{package}", content=body.encode(), headers={"Content-Type": kind})
    refused(answer, 400, "invalid-usage")
    absent(cnr, package)


TAR = tar({"app/Chart.yaml": b"apiVersion: v2\nname: app\nversion: 1.0.0\n"})
BAD_BLOBS = {
    "foreign characters": "!!!!",
    "nothing": "",
    "gzip of nothing": b64(gz(b"")),
    "text": b64(b"this is no archive"),
    "gzip of text": b64(gz(b"this is no tar" * 100)),
    "plain tar": b64(TAR),
    "junk after the gzip": b64(gz(TAR) + b"junk"),
    "no padding": b64(chart("12")).rstrip("=") if b64(chart("12")).endswith("=") else b64(chart("123")).rstrip("="),
    "cut gzip": b64(gz(TAR)[:-9]),
    "wrong checksum": b64(gz(TAR)[:-8] + bytes(4) + gz(TAR)[-4:]),
    "one foreign character": "*" + b64(gz(TAR)),
    "url-safe alphabet": base64.urlsafe_b64encode(gz(bytes(range(256)) * 4)).decode(),
    "padding inside": b64(b"a") + b64(gz(TAR)),
    "not ASCII": "é" * 8,
}


@pytest.mark.parametrize("blob", BAD_BLOBS.values(), ids=BAD_BLOBS.keys())
def test_case_20_blobs_that_are_no_packages(cnr: Cnr, package: str, blob: str) -> None:
    body = json.dumps({"blob": blob, "release": "1.0.0", "media_type": "helm"})
    refused(cnr.post(f"/{package}", content=body), 422, "invalid-parameters")
    absent(cnr, package)


def test_case_21_newlines_in_base64(cnr: Cnr, package: str) -> None:
    blob = chart("long" * 300)
    body = {"blob": base64.encodebytes(blob).decode(), "release": "1.0.0", "media_type": "helm"}
    assert "\n" in body["blob"].strip()
    done(cnr.post(f"/{package}", json=body))
    assert done(cnr.get(f"/{package}/1.0.0/helm/pull/json"))["blob"] == b64(blob)
    assert cnr.get(f"/{package}/1.0.0/helm/pull").content == blob


ODD_BLOBS = {
    "empty tar": gz(tar({})),
    "no end blocks": gz(TAR[:1024]),
    "junk after the tar": gz(TAR + b"junk" * 128),
    "two gzip members": gz(TAR[:700]) + gz(TAR[700:]),
    "zeros after the gzip": gz(TAR) + bytes(100),
}


@pytest.mark.parametrize("blob", ODD_BLOBS.values(), ids=ODD_BLOBS.keys())
def test_case_22_an_empty_tar_and_other_accepted_oddities(cnr: Cnr, package: str, blob: bytes) -> None:
    done(cnr.push(package, blob=blob))
    assert done(cnr.show(package))["content"]["size"] == len(blob)
    assert cnr.get(f"/{package}/1.0.0/helm/pull").content == blob


def test_case_23_forms(cnr: Cnr, package: str) -> None:
    blob = chart("??>>~~" * 40)
    assert "+" in b64(blob)
    done(cnr.post(f"/{package}", data={"blob": b64(blob), "release": "1.0.0", "media_type": "helm"}))
    assert cnr.get(f"/{package}/1.0.0/helm/pull").content == blob
    parts = {name: (None, text) for name, text in {"blob": b64(blob), "release": "1.1.0", "media_type": "helm"}.items()}
    done(cnr.post(f"/{package}", files=parts))
    assert cnr.get(f"/{package}/1.1.0/helm/pull").content == blob


def test_case_23_fields_of_the_query_and_json_over_them(cnr: Cnr, package: str) -> None:
    query = urlencode({"release": "1.0.0", "media_type": "helm"})
    done(cnr.post(f"/{package}?{query}", json={"blob": b64(chart())}))
    done(cnr.post(f"/{package}?{query}", json={"blob": b64(chart()), "release": "2.0.0", "media_type": "kpm"}))
    assert done(cnr.show(package, "1.0.0", "helm"))["release"] == "1.0.0"
    assert done(cnr.show(package, "2.0.0", "kpm"))["release"] == "2.0.0"


@pytest.mark.parametrize(
    "media_type",
    [
        "application/vnd.cnr.package-manifest.helm.v1.json",
        "application/vnd.appr.package-manifest.helm.v0.json",
        "application/vnd.cnr.package.helm.v1.tar+gzip",
        "application/vnd.appr.package.helm.v2.tar+gzip",
    ],
)
def test_case_24_full_media_types_are_reduced(cnr: Cnr, package: str, media_type: str) -> None:
    done(cnr.push(package, media_type=media_type))
    assert done(cnr.show(package))["mediaType"] == "application/vnd.cnr.package-manifest.helm.v1.json"
    refused(cnr.push(package, media_type="helm"), 409, "package-exists", media_type="helm")


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.cnr.manifest.v1+json", "a.b", "a/b", "../x", "", None, "-", "_x", "a b", "a\n", "x" * 65, 1, []],
)
def test_case_25_formats_outside_the_grammar(cnr: Cnr, package: str, media_type: object) -> None:
    refused(cnr.push(package, media_type=media_type), 400, "invalid-usage")
    absent(cnr, package)


LONG = "x" * 300


BAD_NAMES = (
    *(
        "../x",
        "%2e%2e/x",
        "a%20b/c",
        "a/b:c",
        f"a/{LONG}",
        f"{LONG}/a",
        "UP/case",
        "up/Case",
        "%C3%A9/x",
        "a/.",
        "a/b.",
    ),
    *("a/-b", "a/b__", "a/b..c", "a/b___c", f"{'a' * 110}/{'b' * 100}"),
    *("api/x", "v2/x", "charts/x", "channels/x", "health/x", "info/x", "cnr/x", "helm/x"),
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=lambda text: text[:12])
def test_case_26_names_outside_the_grammar(cnr: Cnr, name: str) -> None:
    body = json.dumps({"blob": b64(chart()), "release": "1.0.0", "media_type": "helm"}).encode()
    answer = cnr.raw("POST", f"/api/v1/packages/{name}", body=body)
    refused(answer, 400, "invalid-usage")
    assert cnr.raw("GET", f"/api/v1/packages/{name}").status_code == 404


def test_case_26_the_message_says_which_rule_was_broken(cnr: Cnr) -> None:
    assert "upper-case" in refused(cnr.push("UP/case"), 400, "invalid-usage")["message"]
    assert "reserved" in refused(cnr.push("charts/x"), 400, "invalid-usage")["message"]
    assert "128" in refused(cnr.push(f"a/{LONG}"), 400, "invalid-usage")["message"]


def test_case_27_metadata(cnr: Cnr, package: str) -> None:
    metadata = {"home": "https://example.org", "n": [1, 2.5, None, {"é": "☃"}]}
    done(cnr.push(package, "1.0.0", metadata=metadata))
    done(cnr.push(package, "1.1.0"))
    done(cnr.push(package, "1.2.0", metadata=None))
    done(cnr.push(package, "1.3.0", metadata={}))
    found = {item["release"]: item.get("metadata", UNSET) for item in done(cnr.get(f"/{package}"))}
    assert found == {"1.0.0": metadata, "1.1.0": UNSET, "1.2.0": UNSET, "1.3.0": {}}
    assert done(cnr.show(package))["metadata"] == metadata
    assert done(cnr.get(f"/{package}/1.0.0"))[0]["metadata"] == metadata
    assert "metadata" not in done(cnr.show(package, "1.1.0"))
    assert "metadata" not in done(cnr.get(f"/{package}/1.2.0"))[0]


@pytest.mark.parametrize("metadata", ["text", 1, [], True])
def test_case_27_metadata_that_is_no_object(cnr: Cnr, package: str, metadata: object) -> None:
    refused(cnr.push(package, metadata=metadata), 400, "invalid-usage")
    absent(cnr, package)

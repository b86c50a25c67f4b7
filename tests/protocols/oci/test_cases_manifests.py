"""Manifests, tags, referrers and lists: cases 2 to 60 of contracts/oci-helm.md section 7, each test naming its own."""

import json
from typing import Any

import httpx
import pytest
from tests.protocols.oci.client import INDEX, MANIFEST, Oci, code, descriptor, digest, image

LAYER = b"a layer"
ZEROS = "sha256:" + "0" * 64


def index(*children: bytes, **more: object) -> bytes:
    found = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor(child, MANIFEST) for child in children]}
    return json.dumps(found | more).encode()


def test_cases_2_and_3_unknown(oci: Oci) -> None:
    for reference in ("v1", ZEROS):
        answer = oci.get(f"manifests/{reference}")
        assert (answer.status_code, code(answer)) == (404, "NAME_UNKNOWN")
    oci.image("v1")
    for reference in ("v2", ZEROS):
        answer = oci.get(f"manifests/{reference}")
        assert (answer.status_code, code(answer)) == (404, "MANIFEST_UNKNOWN")
        head = oci.call("HEAD", f"manifests/{reference}")
        assert (head.status_code, head.content) == (404, b"")
        answer = oci.call("DELETE", f"manifests/{reference}")
        assert (answer.status_code, code(answer)) == (404, "MANIFEST_UNKNOWN")


@pytest.mark.parametrize(("size", "status"), [(3_900_000, 201), (4_194_304, 201), (4_194_305, 413)])
def test_case_30_large_manifests(oci: Oci, size: int, status: int) -> None:
    oci.blob(b"{}")
    data = image(annotations={"a": ""})
    data = data.replace(b'"a": ""', b'"a": "%s"' % (b"x" * (size - len(data))))
    answer = oci.call("PUT", "manifests/v1", content=iter([data]), headers={"content-type": MANIFEST})
    assert (len(data), answer.status_code) == (size, status)
    if status == 201:
        assert oci.get("manifests/v1").content == data
    else:
        assert code(answer) == "SIZE_INVALID"


def test_cases_31_and_32_the_bytes_stay(oci: Oci) -> None:
    oci.blob(b"{}")
    data = b"  " + image(unknown={"x": [1]}) + b"\n\n"
    assert oci.put("v1", data, MANIFEST + "; charset=utf-8").status_code == 201
    answer = oci.get("manifests/v1")
    assert answer.content == data
    assert answer.headers["content-type"] == MANIFEST
    assert answer.headers["docker-content-digest"] == digest(data)


def test_case_33_two_media_types(oci: Oci) -> None:
    oci.blob(b"{}")
    answer = oci.put("v1", image(), INDEX)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")
    same = image(mediaType=None)
    assert oci.put("v1", same, MANIFEST).status_code == 201
    answer = oci.put("v2", same, "application/vnd.docker.distribution.manifest.v2+json")
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_INVALID")
    assert oci.get("manifests/v1").headers["content-type"] == MANIFEST


def test_case_34_missing_references(oci: Oci) -> None:
    oci.blob(b"{}")
    answer = oci.put("v1", image(LAYER))
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
    assert answer.json()["errors"][0]["detail"] == {"missing": [digest(LAYER)]}
    assert oci.get(f"manifests/{digest(image(LAYER))}").status_code == 404
    answer = oci.put("v1", index(b"never pushed"), INDEX)
    assert (answer.status_code, code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
    far = json.loads(image(LAYER))
    far["layers"][0]["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    assert oci.put("v1", json.dumps(far).encode()).status_code == 201


def test_case_35_wrong_digests(oci: Oci) -> None:
    oci.blob(b"{}")
    for reference in (ZEROS, "sha256:baddigeststring", "md5:" + "0" * 32):
        answer = oci.put(reference, image())
        assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert oci.get("manifests/sha256:baddigeststring").status_code == 400


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_cases_36_and_37_tags_beside_a_digest(oci: Oci, algorithm: str) -> None:
    oci.blob(b"{}")
    tags = [f"t{number}" for number in range(10)]
    wanted = digest(image(), algorithm)
    answer = oci.put(wanted, image(), params={"tag": tags})
    assert (answer.status_code, answer.headers.get_list("oci-tag", split_commas=True)) == (201, tags)
    for tag in tags:
        assert oci.call("HEAD", f"manifests/{tag}").headers["docker-content-digest"] == wanted
    answer = oci.put(wanted, image(), params={"tag": [f"t{number}" for number in range(101)]})
    assert answer.status_code == 414


def test_cases_38_and_55_tags_move_and_go(oci: Oci) -> None:
    old, new = oci.image("latest", b"1"), oci.image("latest", b"2")
    oci.image("other", b"2")
    assert oci.get("manifests/latest").content == new
    assert oci.get(f"manifests/{digest(old)}").content == old
    assert oci.call("DELETE", "manifests/latest").status_code == 202
    assert oci.get("manifests/latest").status_code == 404
    assert oci.get(f"manifests/{digest(new)}").content == new
    assert oci.tags() == ["other"]


@pytest.mark.parametrize("accept", [None, "*/*", "application/vnd.docker.distribution.manifest.v2+json", INDEX])
def test_cases_39_to_41_accept(oci: Oci, accept: str | None) -> None:
    data = oci.image("v1")
    request = oci.http.build_request("GET", f"/v2/{oci.name}/manifests/v1")
    del request.headers["accept"]
    if accept:
        request.headers["accept"] = accept
    answer = oci.http.send(request)
    assert (answer.status_code, answer.content) == (200, data)
    again = oci.get("manifests/v1", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"[]", b"null", b'"x"', b"[" * 10_000, b'{"a":' * 100_000, b"\xff\xfe", b"{}"),
        *(b'{"schemaVersion":1}', b'{"schemaVersion":2,"config":1}', b'{"schemaVersion":2,"manifests":[],"layers":[]}'),
        image().replace(b"sha256:", b"sha256:X"),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("media_type", [MANIFEST, "", "application/x-thing"])
def test_case_42_not_a_manifest(oci: Oci, data: bytes, media_type: str) -> None:
    """hostile-inputs: type confusion, parser abuse."""
    answer = oci.put("v1", data, media_type)
    taken = media_type == "application/x-thing" and data[:1] == b"{" and data[-1:] == b"}"
    assert answer.status_code in ((201, 400) if taken else (400,))
    assert oci.call("PUT", "manifests/v1", content=data, headers={"content-type": "x"}).status_code == 400


def test_case_43_indexes(oci: Oci) -> None:
    child = oci.image("child")
    inner, empty = index(child), index()
    for reference, data in (("inner", inner), ("empty", empty)):
        assert oci.put(reference, data, INDEX).status_code == 201
    outer = json.loads(index(inner))
    outer["manifests"][0]["mediaType"] = INDEX
    assert oci.put("outer", json.dumps(outer).encode(), INDEX).status_code == 201
    assert oci.get("manifests/outer").json() == outer


def test_cases_44_to_49_referrers(oci: Oci) -> None:
    subject = image(annotations={"x": "y"})
    path = f"referrers/{digest(subject)}"
    answer = oci.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, INDEX)
    assert answer.json() == {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
    for blob in (b"{}", LAYER):
        oci.blob(blob)
    refers: dict[str, Any] = {"subject": descriptor(subject, MANIFEST), "annotations": {"a": "b"}}
    typed, plain = image(artifactType="a/b+json", **refers), image(LAYER, **refers)
    listed = index(**refers)
    for reference, data, kind in ((digest(typed), typed, MANIFEST), ("t", typed, MANIFEST), ("p", plain, MANIFEST)):
        answer = oci.put(reference, data, kind)
        assert (answer.status_code, answer.headers["oci-subject"]) == (201, digest(subject))
    assert oci.put("i", listed, INDEX).headers["oci-subject"] == digest(subject)
    rows = {row["digest"]: row for row in oci.get(path).json()["manifests"]}
    assert rows == {
        digest(typed): descriptor(typed, MANIFEST, artifactType="a/b+json", annotations={"a": "b"}),
        digest(plain): descriptor(
            plain, MANIFEST, artifactType="application/vnd.oci.empty.v1+json", annotations={"a": "b"}
        ),
        digest(listed): descriptor(listed, INDEX, annotations={"a": "b"}),
    }
    for query in ("artifactType=a/b%2Bjson", "artifactType=a/b+json"):
        answer = oci.get(f"{path}?{query}")
        assert [row["digest"] for row in answer.json()["manifests"]] == [digest(typed)]
        assert answer.headers["oci-filters-applied"] == "artifactType"
    assert oci.put("subject", subject).status_code == 201
    assert oci.call("DELETE", f"manifests/{digest(subject)}").status_code == 202
    assert len(oci.get(path).json()["manifests"]) == 3
    assert oci.call("DELETE", f"manifests/{digest(typed)}").status_code == 202
    assert len(oci.get(path).json()["manifests"]) == 2


def test_case_48_a_bad_subject(oci: Oci) -> None:
    answer = oci.get("referrers/sha256:zz")
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")


def test_case_50_pages_of_referrers(oci: Oci) -> None:
    oci.blob(b"{}")
    subject = descriptor(b"subject", MANIFEST)
    wanted = set()
    for number in range(230):
        data = image(subject=subject, annotations={"n": str(number)})
        assert oci.put(digest(data), data).status_code == 201
        wanted.add(digest(data))
    found: list[str] = []
    at = f"/v2/{oci.name}/referrers/{subject['digest']}?artifactType=application/vnd.oci.empty.v1%2Bjson"
    while at:
        answer = oci.http.get(at)
        found += [row["digest"] for row in answer.json()["manifests"]]
        at = answer.links["next"]["url"] if "next" in answer.links else ""
    assert len(found) == len(set(found)) == 230
    assert set(found) == wanted


def test_cases_51_to_54_lists_of_tags(oci: Oci) -> None:
    answer = oci.get("tags/list")
    assert (answer.status_code, code(answer)) == (404, "NAME_UNKNOWN")
    oci.image("A")
    names = ["0", "10", "9", "A", "Z", "_", "a"]
    oci.put(digest(image()), image(), params={"tag": names})
    assert oci.tags() == names
    assert (oci.tags(n=0), oci.tags(last="Z"), oci.tags(last="B"), oci.tags(last="\x00é")) == (
        [],
        ["_", "a"],
        ["Z", "_", "a"],
        names,
    )
    assert oci.get("tags/list?n=0").links == {}
    found, at = [], f"/v2/{oci.name}/tags/list?n=2"
    while at:
        answer = oci.http.get(at)
        found += answer.json()["tags"]
        at = answer.links["next"]["url"] if "next" in answer.links else ""
        assert at.startswith("/v2/") or not at
    assert found == names
    for bad in ("-1", "x", "", "1.5", "٣"):
        assert oci.get("tags/list", params={"n": bad}).status_code == 400
    assert oci.tags(n=10**30) == names
    for name in names:
        assert oci.call("DELETE", f"manifests/{name}").status_code == 202
    assert oci.tags() == []


def test_case_56_a_deleted_manifest_takes_its_tags(oci: Oci) -> None:
    data = oci.image("a")
    oci.put("b", data)
    assert oci.call("DELETE", f"manifests/{digest(data)}").status_code == 202
    for reference in ("a", "b", digest(data)):
        assert oci.get(f"manifests/{reference}").status_code == 404
    assert oci.tags() == []
    oci.image("c")
    assert oci.get(f"manifests/{digest(data)}").status_code == 200
    assert oci.tags() == ["c"]


def test_case_58_the_catalog(oci: Oci) -> None:
    others = [oci.another(f"catalog/x{number}") for number in range(3)]
    for each in others:
        each.image("v1")
    names = [each.name for each in others]
    answer = oci.http.get("/v2/_catalog", params={"n": 2, "last": "catalog/"})
    assert answer.json()["repositories"] == names[:2]
    answer = oci.http.get(answer.links["next"]["url"])
    assert answer.json()["repositories"][0] == names[2]
    assert set(names) <= set(oci.http.get("/v2/_catalog").json()["repositories"])
    for bad in ("-1", "x"):
        assert oci.http.get("/v2/_catalog", params={"n": bad}).status_code == 400


@pytest.mark.parametrize(
    "name", ["a", "a/b/c/d", "a--b", "a__b", "x/manifests/y", "x/blobs/uploads/y", "x/tags/list/z"]
)
def test_cases_59_and_60_names(http: httpx.Client, name: str) -> None:
    oci = Oci(http, name)
    data = oci.image("v1", LAYER)
    assert oci.get("manifests/v1").content == data
    assert oci.get(f"blobs/{digest(LAYER)}").content == LAYER
    assert oci.tags() == ["v1"]


@pytest.mark.parametrize("name", ["A", "-a", "a_", "a//b", "a..b", "a" * 201, "api/x", "helm/x", "a%00b", "é"])
def test_case_59_bad_names(http: httpx.Client, name: str) -> None:
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("GET", "manifests/v1")):
        answer = http.request(method, f"/v2/{name}/{path}", content=b"")
        assert answer.status_code in (400, 404)
        assert code(answer) in ("NAME_INVALID", "NAME_UNKNOWN")


def test_nothing_is_pushed_below_library(http: httpx.Client) -> None:
    answer = Oci(http, "library/x").call("POST", "blobs/uploads/")
    assert (answer.status_code, code(answer)) == (403, "DENIED")


def test_other_methods_and_addresses(oci: Oci) -> None:
    answer = oci.call("POST", "manifests/v1")
    assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
    assert oci.http.get("/v2/nothing").status_code == 404
    assert oci.http.get("/v2/_oci/ext/discover").json() == {"extensions": []}
    answer = oci.put("1.0.0+b", image())
    assert (answer.status_code, code(answer)) == (400, "NAME_INVALID")

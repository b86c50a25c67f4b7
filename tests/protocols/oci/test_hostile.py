"""What an attacker would send to /v2: a clear 4xx or nothing special, never a 5xx, and nothing is stored.

Source: design/hostile-inputs.md, rows "path traversal", "type confusion, digest truth", "upload session IDOR",
"stale cache restores access".
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.client import connected, exchange
from tests.protocols.cnr.server import Server
from tests.protocols.cnr.test_hostile import TRAVERSALS, files
from tests.protocols.oci.client import INDEX, MANIFEST, Oci, code, descriptor, digest, image

DATA = bytes(range(256)) * 8
LARGE = DATA * 200
ZEROS = "sha256:" + "0" * 64


def sent(oci: Oci, method: str, target: str, body: bytes = b"", media_type: str = MANIFEST) -> tuple[int, bytes]:
    """Status and body of a request whose target goes out as written here."""
    answer = exchange(oci.http.base_url, method, target, {"Content-Type": media_type}, body)
    return answer.status_code, answer.content


def no_surprise(status: int, body: bytes, *also: int) -> None:
    assert status in (400, 404, 405, *also), body
    if status != 200 and body.startswith(b"{"):
        (error,) = json.loads(body)["errors"]
        assert error["code"] in ("NAME_INVALID", "NAME_UNKNOWN", "DIGEST_INVALID", "UNSUPPORTED") or error["code"][
            -7:
        ] in ("UNKNOWN", "INVALID")


def looks(oci: Oci) -> tuple[object, ...]:
    """What there is to see of everything."""
    return oci.http.get("/v2/_catalog").json()["repositories"], oci.tags()


@pytest.mark.parametrize("text", [*TRAVERSALS, "..%2F..%2Fetc%2Fpasswd", "%2e%2e%5c%2e%2e"], ids=lambda text: text[:12])
def test_names_digests_and_ids_that_would_leave_the_store(oci: Oci, server: Server, text: str) -> None:
    """In every place of a path."""
    oci.image("v1")
    before, seen = files(server), looks(oci)
    own, manifest = f"/v2/{oci.name}", image()
    upload = oci.begin().rpartition("/")[2]
    for name in (f"{text}/x", f"x/{text}", f"x/{text}/y", f"{text}"):
        for end in ("manifests/v1", f"blobs/{ZEROS}", f"referrers/{ZEROS}", "tags/list", "blobs/uploads/" + "0" * 32):
            status, body = sent(oci, "GET", f"/v2/{name}/{end}")
            no_surprise(status, body, *([200] if end.startswith("referrers") else []))
        no_surprise(*sent(oci, "PUT", f"/v2/{name}/manifests/v1", manifest))
        no_surprise(*sent(oci, "DELETE", f"/v2/{name}/manifests/v1"))
        if text != "a%2fb":  # a name like any other
            status, body = sent(oci, "POST", f"/v2/{name}/blobs/uploads/?digest={digest(DATA)}", DATA)
            no_surprise(status, body)
    places = (
        *(
            f"{own}/manifests/{text}",
            f"{own}/manifests/sha256:{text}",
            f"{own}/blobs/{text}",
            f"{own}/blobs/sha256:{text}",
        ),
        *(f"{own}/blobs/sha512:{text}", f"{own}/referrers/{text}", f"{own}/blobs/uploads/{text}"),
        *(
            f"{own}/blobs/uploads/../{text}",
            f"{own}/blobs/uploads/{upload}/{text}",
            f"{own}/blobs/uploads/{upload}{text}",
        ),
    )
    for target in places:
        for method in ("GET", "HEAD", "DELETE", "PATCH"):
            if method != "PATCH" or "uploads" in target:
                no_surprise(*sent(oci, method, target, DATA if method == "PATCH" else b""))
    for target in places:
        if "manifests" in target and text != "CON":  # a tag like any other
            no_surprise(*sent(oci, "PUT", target, manifest))
        if "uploads" in target:
            no_surprise(*sent(oci, "PUT", f"{target}?digest={digest(LARGE)}", LARGE))
    assert looks(oci) == seen
    assert files(server) == before
    assert oci.get(f"blobs/uploads/{upload}").headers["range"] == "0-0"


@pytest.mark.parametrize("text", TRAVERSALS, ids=lambda text: text[:12])
def test_queries_that_would_leave_the_store(oci: Oci, text: str) -> None:
    oci.image("v1")
    seen = looks(oci)
    own = f"/v2/{oci.name}"
    for query in (f"mount={text}", f"digest={text}", f"digest-algorithm={text}", f"digest=sha256:{text}"):
        no_surprise(*sent(oci, "POST", f"{own}/blobs/uploads/?{query}", DATA))
    status, _ = sent(oci, "POST", f"{own}/blobs/uploads/?mount={ZEROS}&from={text}")
    assert status == 202
    no_surprise(*sent(oci, "PUT", f"{oci.begin()}?digest={text}", DATA))
    manifest = digest(image())
    status, body = sent(oci, "PUT", f"{own}/manifests/{manifest}?tag={text}", image())
    assert status in (201, 400), body
    if status == 201:
        assert text == "CON"
        oci.call("DELETE", f"manifests/{text}")
    for path, query in (("tags/list", "last"), ("tags/list", "n"), (f"referrers/{ZEROS}", "artifactType")):
        status, body = sent(oci, "GET", f"{own}/{path}?{query}={text}")
        assert status == (400 if query == "n" else 200), body
    for query, wanted in (("last", 200), ("n", 400)):
        assert sent(oci, "GET", f"/v2/_catalog?{query}={text}")[0] == wanted
    assert looks(oci) == seen


@pytest.mark.parametrize("number", ["-1", "abc", "1e9", "NaN", "0x10", "%205", "%D9%A5", "1;2", "1,2", "1" * 5000])
def test_numbers_of_a_page(oci: Oci, number: str) -> None:
    oci.image("v1")
    for path in (f"/v2/{oci.name}/tags/list", "/v2/_catalog"):
        status, body = sent(oci, "GET", f"{path}?n={number}")
        assert status == (200 if number.isdecimal() else 400), body
        assert sent(oci, "GET", f"{path}?n=1000000000000000000&last=%00%ff{'z' * 5000}")[0] == 200


CONFUSED = {
    "manifest and index": {"layers": [], "manifests": []},
    "an index that calls itself a manifest": {"config": None, "layers": None, "manifests": [], "mediaType": MANIFEST},
    "a manifest that calls itself an index": {"mediaType": INDEX},
    "digest of another algorithm": {"config": {"mediaType": "a/b", "digest": "md5:" + "0" * 32, "size": 2}},
    "digest with a path": {"config": {"mediaType": "a/b", "digest": "sha256:../../" + "0" * 58, "size": 2}},
    "upper case digest": {"config": {"mediaType": "a/b", "digest": "sha256:" + "A" * 64, "size": 2}},
    "subject without a digest": {"subject": {"mediaType": "a/b", "size": 2}},
    "subject with a path": {"subject": {"mediaType": "a/b", "digest": "../../x", "size": 2}},
    "a size that is text": {"config": {"mediaType": "a/b", "digest": ZEROS, "size": "2"}},
    "schema 1": {"schemaVersion": 1},
    "a media type with a line break": {"mediaType": f"{MANIFEST}\r\nSet-Cookie: a=b"},
}


@pytest.mark.parametrize("more", CONFUSED.values(), ids=CONFUSED.keys())
@pytest.mark.parametrize("media_type", [MANIFEST, INDEX, ""])
def test_documents_that_are_two_things(oci: Oci, more: dict[str, object], media_type: str) -> None:
    """Refused whatever they are sent as, by tag and by digest; and not stored (CVE-2021-41190)."""
    oci.image("v0")
    data = json.dumps({**json.loads(image()), **more}).encode()
    for reference in ("v1", digest(data), digest(data, "sha512")):
        answer = oci.put(reference, data, media_type)
        assert (answer.status_code, code(answer)) in ((400, "MANIFEST_INVALID"), (400, "DIGEST_INVALID"))
    for reference in ("v1", digest(data), digest(data, "sha512")):
        assert oci.get(f"manifests/{reference}").status_code == 404
    assert oci.tags() == ["v0"]


@pytest.mark.parametrize(
    "media_type", ["a", "a/", "/b", "a/b/c", "a b/c", "text/html\x7f", "a/b\u00e9", "x" * 9000, ";"]
)
def test_content_types_that_are_none(oci: Oci, media_type: str) -> None:
    data = json.dumps({"schemaVersion": 2}).encode()
    try:
        status, body = sent(oci, "PUT", f"/v2/{oci.name}/manifests/v1", data, media_type)
    except OSError:
        return  # closed without an answer: what some servers do with headers that are no HTTP
    assert status in (400, 431), body
    assert oci.get("manifests/v1").status_code == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_digest_is_true_or_nothing_is_stored(oci: Oci, algorithm: str) -> None:
    oci.blob(b"{}")
    data = image(annotations={"a": algorithm})
    for wrong in (data + b" ", data[:-1], image()):
        answer = oci.put(digest(data, algorithm), wrong, params={"tag": ["v1"]})
        assert answer.status_code == 400
    other = digest(LARGE, algorithm)
    for body in (LARGE[:-1], LARGE + b"x", b"", LARGE[::-1]):
        answer = oci.call("POST", "blobs/uploads/", params={"digest": other}, content=body)
        assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
        upload = oci.begin()
        oci.http.patch(upload, content=body)
        assert oci.http.put(upload, params={"digest": other}).status_code == 400
        assert oci.http.put(upload, params={"digest": other}, content=LARGE).status_code == 404
    for path in ("manifests/v1", f"manifests/{digest(data, algorithm)}", f"blobs/{other}"):
        assert oci.get(path).status_code == 404


@pytest.mark.parametrize("target", ["manifests/v1", "uploads", "patch", "put"])
def test_a_body_that_ends_early_stores_nothing(oci: Oci, target: str) -> None:
    oci.blob(b"{}")
    body, method, path = LARGE, "PATCH", oci.begin()
    upload = path
    if target == "manifests/v1":
        body, method, path = image(annotations={"a": "x" * 200_000}), "PUT", f"/v2/{oci.name}/manifests/v1"
    elif target == "uploads":
        method, path = "POST", f"/v2/{oci.name}/blobs/uploads/?digest={digest(LARGE)}"
    elif target == "put":
        method, path = "PUT", f"{path}?digest={digest(LARGE)}"
    for end in (1, len(body) // 2, len(body) - 1):
        with connected(oci.http.base_url) as connection:
            lines = (
                f"{method} {path} HTTP/1.1",
                "Host: x",
                f"Content-Type: {MANIFEST}",
                f"Content-Length: {len(body)}",
            )
            connection.sendall("\r\n".join((*lines, "", "")).encode() + body[:end])
    assert oci.http.get(upload).headers["range"] == "0-0"
    assert oci.get(f"blobs/{digest(LARGE)}").status_code == 404
    assert oci.get("manifests/v1").status_code == 404
    assert oci.http.put(upload, params={"digest": digest(LARGE)}, content=LARGE).status_code == 201


def test_rivals_for_one_upload(oci: Oci) -> None:
    """PATCH, PUT and DELETE at once: whatever came first, the blob that a 201 promised is there, and no 5xx."""
    for number in range(15):
        data = LARGE + number.to_bytes(2, "big")
        upload = oci.begin()
        requests: tuple[tuple[str, dict[str, str], bytes], ...] = (
            ("PATCH", {}, b"x" * 50_000),
            ("PUT", {"digest": digest(data)}, data),
            ("DELETE", {}, b""),
            ("PUT", {"digest": digest(data)}, data),
        )
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(oci.http.request, m, upload, params=q, content=c) for m, q, c in requests]
            patch, put, delete, again = (call.result().status_code for call in calls)
        assert patch in (202, 404, 416)
        assert delete in (204, 404)
        assert {put, again} <= {201, 400, 404, 416}  # 400: the PATCH came first, and the whole is another blob
        there = oci.get(f"blobs/{digest(data)}")
        assert there.status_code == (200 if 201 in (put, again) else 404)
        assert there.status_code == 404 or there.content == data


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two servers over one store."""
    with ExitStack() as stack:
        clients = []
        for _ in range(2):
            server = Server(tmp_path, entry="serve")
            server.launch()
            stack.callback(server.kill)
            clients.append(stack.enter_context(httpx.Client(base_url=server.wait().url, timeout=60)))
        yield clients[0], clients[1]


@pytest.mark.parametrize("data", [DATA, LARGE, LARGE * 3], ids=["in a record", "in a file", "in a larger file"])
def test_what_was_deleted_is_gone_from_every_cache(pair: tuple[httpx.Client, httpx.Client], data: bytes) -> None:
    """CVE-2026-35172: deleted at one server, it is not read at the other, which has just served it."""
    one, two = (Oci(http, "oci/app") for http in pair)
    other = Oci(pair[1], "oci/other")
    manifest = one.image("v1", data)
    path, named = f"blobs/{digest(data)}", f"manifests/{digest(manifest)}"
    paths = (path, named, "manifests/v1")
    for _ in range(3):
        assert [two.get(each).status_code for each in paths] == [200, 200, 200]
        assert two.get(path, headers={"range": "bytes=10-99"}).status_code == 206
    etag = two.get(path).headers["etag"]
    assert one.call("DELETE", named).status_code == 202
    assert one.call("DELETE", path).status_code == 202
    for oci in (two, one):
        assert [oci.get(each).status_code for each in paths] == [404, 404, 404]
        assert [oci.call("HEAD", each).status_code for each in paths] == [404, 404, 404]
        for headers in ({"range": "bytes=10-99"}, {"if-none-match": etag}, {"if-range": etag, "range": "bytes=1-2"}):
            assert oci.get(path, headers=headers).status_code == 404
        assert oci.tags() == []
        for source in ({"from": one.name}, {}):
            answer = other.call("POST", "blobs/uploads/", params={"mount": digest(data), **source})
            assert answer.status_code == 202
        answer = oci.put("v2", manifest)
        assert (answer.status_code, code(answer)) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert oci.get(f"referrers/{descriptor(manifest, MANIFEST)['digest']}").json()["manifests"] == []

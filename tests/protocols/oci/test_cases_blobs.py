"""Blobs and uploads: cases 1 to 29 of contracts/oci-helm.md section 7, each test naming its own."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from tests.protocols.oci.client import Oci, code, digest

DATA = bytes(range(256)) * 8
LARGE = DATA * 200
SIZES = (b"", b"x", DATA, LARGE)


def ids(data: bytes) -> str:
    return f"{len(data)}-bytes"


def pushed(oci: Oci, data: bytes) -> None:
    answer = oci.get(f"blobs/{digest(data)}")
    assert (answer.status_code, answer.content) == (200, data)
    assert answer.headers["content-length"] == str(len(data))
    assert answer.headers["docker-content-digest"] == digest(data)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_case_1_the_base(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert (answer.status_code, answer.json()) == (200, {})
    assert answer.headers["docker-distribution-api-version"] == "registry/2.0"


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", SIZES, ids=ids)
def test_cases_4_and_17_post_and_put(oci: Oci, data: bytes, algorithm: str) -> None:
    wanted = digest(data, algorithm)
    answer = oci.http.put(oci.begin(), params={"digest": wanted}, content=data)
    assert (answer.status_code, answer.headers["docker-content-digest"]) == (201, wanted)
    assert oci.http.get(answer.headers["location"]).content == data
    head = oci.http.head(answer.headers["location"])
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(data)), b"")


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("data", SIZES, ids=ids)
def test_cases_5_and_17_one_post(oci: Oci, data: bytes, algorithm: str) -> None:
    answer = oci.call("POST", "blobs/uploads/", params={"digest": digest(data, algorithm)}, content=data)
    assert answer.status_code == 201
    assert oci.http.get(answer.headers["location"]).content == data


@pytest.mark.parametrize("data", SIZES, ids=ids)
def test_cases_6_and_15_a_wrong_digest_leaves_nothing(oci: Oci, data: bytes) -> None:
    wrong = digest(b"other")
    answer = oci.call("POST", "blobs/uploads/", params={"digest": wrong}, content=data)
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    upload = oci.begin()
    answer = oci.http.put(upload, params={"digest": wrong}, content=data)
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert oci.http.get(upload).status_code == 404
    assert oci.get(f"blobs/{wrong}").status_code == 404
    assert oci.get(f"blobs/{digest(data)}").status_code == 404


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [3067, 30_000, 9 * 1024 * 1024])
def test_cases_7_8_and_12_pieces(oci: Oci, size: int, algorithm: str) -> None:
    data = (DATA * (size // len(DATA) + 1))[:size]
    third = size // 3
    upload = oci.begin()
    for start, stop in ((0, third), (third, 2 * third)):
        headers = {"content-range": f"{start}-{stop - 1}"} if start else {}
        answer = oci.http.patch(upload, content=iter([data[start:stop]]), headers=headers)
        assert (answer.status_code, answer.headers["range"]) == (202, f"0-{stop - 1}")
        upload = answer.headers["location"]
    answer = oci.http.put(upload, params={"digest": digest(data, algorithm)}, content=data[2 * third :])
    assert answer.status_code == 201
    assert oci.http.get(answer.headers["location"]).content == data


def test_case_7_an_empty_closing_put(oci: Oci) -> None:
    upload = oci.begin()
    assert oci.http.patch(upload, content=LARGE).status_code == 202
    assert oci.http.put(upload, params={"digest": digest(LARGE)}).status_code == 201
    pushed(oci, LARGE)


@pytest.mark.parametrize("start", [0, 2000])
def test_cases_9_to_11_out_of_order(oci: Oci, start: int) -> None:
    upload = oci.begin()
    oci.http.patch(upload, content=DATA[:1024])
    headers = {"content-range": f"{start}-{start + 1023}"}
    for method, query in (("PATCH", {}), ("PUT", {"digest": digest(DATA)})):
        answer = oci.http.request(method, upload, params=query, content=DATA[1024:], headers=headers)
        assert (answer.status_code, code(answer)) == (416, "BLOB_UPLOAD_INVALID")
        status = oci.http.get(upload, params=query)
        assert (status.status_code, status.headers["range"]) == (204, "0-1023")
    headers = {"content-range": "1024-2047"}
    answer = oci.http.put(upload, params={"digest": digest(DATA)}, content=DATA[1024:], headers=headers)
    assert answer.status_code == 201
    pushed(oci, DATA)


@pytest.mark.parametrize("header", ["0-9", "9-0", "x", "0-", "bytes=0-9", "0-99999999999999999999999"])
def test_case_13_lengths_that_contradict(oci: Oci, header: str) -> None:
    upload = oci.begin()
    answer = oci.http.patch(upload, content=DATA, headers={"content-range": header})
    assert (answer.status_code, code(answer)) == (400, "SIZE_INVALID")
    assert oci.http.get(upload).headers["range"] == "0-0"


def test_cases_14_and_16_bad_digests(oci: Oci) -> None:
    upload = oci.begin()
    for query in ({}, {"digest": "md5:" + "0" * 32}, {"digest": digest(DATA).upper()}, {"digest": "sha256:../x"}):
        answer = oci.http.put(upload, params=query, content=DATA)
        assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")
    assert oci.http.put(upload, params={"digest": digest(DATA)}, content=DATA).status_code == 201


@pytest.mark.parametrize("pieces", [0, 1])
def test_case_18_cancel(oci: Oci, pieces: int) -> None:
    upload = oci.begin()
    for _ in range(pieces):
        oci.http.patch(upload, content=DATA)
    assert oci.http.delete(upload).status_code == 204
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        answer = oci.http.request(method, upload, params={"digest": digest(DATA)})
        assert (answer.status_code, code(answer)) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_case_19_and_session_idor(oci: Oci) -> None:
    """hostile-inputs: upload session IDOR. An upload of one repository is not there for another, nor after its end."""
    upload, other = oci.begin(), oci.another()
    foreign = upload.replace(oci.name, other.name)
    for address in (foreign, foreign[:-32] + "../../x", foreign[:-32] + "0" * 32):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            answer = oci.http.request(method, address, params={"digest": digest(DATA)}, content=b"x")
            assert answer.status_code in (400, 404)
    assert oci.http.put(upload, params={"digest": digest(DATA)}, content=DATA).status_code == 201
    for method in ("GET", "PATCH", "PUT", "DELETE"):
        assert oci.http.request(method, upload, params={"digest": digest(b"other")}, content=b"x").status_code == 404
    assert oci.http.put(upload, params={"digest": digest(DATA)}, content=DATA).status_code == 201, "it was done before"
    assert oci.http.put(foreign, params={"digest": digest(DATA)}, content=DATA).status_code == 404


def test_parallel_pieces_of_one_upload(oci: Oci) -> None:
    """hostile-inputs: parallel PATCH. One wins, the others are told so, and the upload is what the winner sent."""
    upload = oci.begin()
    with ThreadPoolExecutor(4) as pool:
        pieces = [bytes([n]) * 50_000 for n in range(4)]
        headers = {"content-range": "0-49999"}
        answers = list(pool.map(lambda piece: oci.http.patch(upload, content=piece, headers=headers), pieces))
    won = [piece for piece, answer in zip(pieces, answers, strict=True) if answer.status_code == 202]
    assert len(won) == 1
    assert {answer.status_code for answer in answers} <= {202, 416}
    assert oci.http.put(upload, params={"digest": digest(won[0])}).status_code == 201


def test_case_20_a_path_alone_is_the_location(oci: Oci) -> None:
    assert oci.begin().startswith(f"/v2/{oci.name}/blobs/uploads/")


@pytest.mark.parametrize("data", [DATA, LARGE], ids=ids)
def test_case_21_a_mount_has_its_own_bytes(oci: Oci, data: bytes) -> None:
    oci.blob(data)
    other = oci.another()
    answer = other.call("POST", "blobs/uploads/", params={"mount": digest(data), "from": oci.name})
    assert answer.status_code == 201
    assert oci.call("DELETE", f"blobs/{digest(data)}").status_code == 202
    assert oci.get(f"blobs/{digest(data)}").status_code == 404
    pushed(other, data)


@pytest.mark.parametrize("source", ["oci/none", "A//b", None])
def test_case_22_what_cannot_be_mounted_is_uploaded(oci: Oci, source: str | None) -> None:
    data = f"only for this test {source} {time.time_ns()}".encode()
    query = {"mount": digest(data)} | ({"from": source} if source else {})
    answer = oci.call("POST", "blobs/uploads/", params=query)
    assert answer.status_code == 202
    assert oci.http.put(answer.headers["location"], params={"digest": digest(data)}, content=data).status_code == 201


def test_case_23_a_mount_from_anywhere(oci: Oci) -> None:
    data = f"anywhere {time.time_ns()}".encode()
    oci.blob(data)
    other = oci.another("elsewhere/app")
    assert other.call("POST", "blobs/uploads/", params={"mount": digest(data)}).status_code == 201
    pushed(other, data)


def test_case_24_two_uploads_of_one_blob(oci: Oci) -> None:
    uploads = [oci.begin(), oci.begin()]
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda at: oci.http.put(at, params={"digest": digest(LARGE)}, content=LARGE), uploads))
    assert [answer.status_code for answer in answers] == [201, 201]
    pushed(oci, LARGE)


def test_case_25_a_blob_is_its_repositorys(oci: Oci) -> None:
    oci.blob(DATA)
    answer = oci.another().get(f"blobs/{digest(DATA)}")
    assert (answer.status_code, code(answer)) == (404, "BLOB_UNKNOWN")


@pytest.mark.parametrize("data", [DATA, LARGE[:20480]], ids=ids)
@pytest.mark.parametrize("wanted", ["500-1499", "500-", "-500", "2000-50000"])
def test_case_26_ranges(oci: Oci, data: bytes, wanted: str) -> None:
    oci.blob(data)
    first, _, last = wanted.partition("-")
    start = int(first) if first else len(data) - int(last)
    stop = min(int(last) + 1, len(data)) if first and last else len(data)
    answer = oci.get(f"blobs/{digest(data)}", headers={"range": f"bytes={wanted}"})
    assert (answer.status_code, answer.content) == (206, data[start:stop])
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(data)}"
    assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("wanted", ["5000-10000", "500-0"])
def test_case_26_no_such_range(oci: Oci, wanted: str) -> None:
    oci.blob(DATA)
    answer = oci.get(f"blobs/{digest(DATA)}", headers={"range": f"bytes={wanted}"})
    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */2048")


def test_cases_27_to_29_other_reads(oci: Oci) -> None:
    oci.blob(DATA)
    oci.blob(b"")
    path = f"blobs/{digest(DATA)}"
    assert oci.get(path, headers={"range": "bytes=0-1,5-6"}).content == DATA
    assert oci.get(f"blobs/{digest(b'')}", headers={"range": "bytes=0-1"}).status_code == 416
    plain = oci.get(path, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["content-length"] == "2048"
    again = oci.get(path, headers={"if-none-match": plain.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_case_57_a_blob_in_use_stays(oci: Oci) -> None:
    oci.image("v1", DATA)
    answer = oci.call("DELETE", f"blobs/{digest(DATA)}")
    assert (answer.status_code, code(answer)) == (405, "UNSUPPORTED")
    pushed(oci, DATA)
    at = oci.get("manifests/v1").headers["docker-content-digest"]
    assert oci.call("DELETE", f"manifests/{at}").status_code == 202
    assert oci.call("DELETE", f"blobs/{digest(DATA)}").status_code == 202
    answer = oci.call("DELETE", f"blobs/{digest(DATA)}")
    assert (answer.status_code, code(answer)) == (404, "BLOB_UNKNOWN")


def test_an_algorithm_is_a_hint(oci: Oci) -> None:
    assert oci.call("POST", "blobs/uploads/", params={"digest-algorithm": "sha512"}).status_code == 202
    answer = oci.call("POST", "blobs/uploads/", params={"digest-algorithm": "md5"})
    assert (answer.status_code, code(answer)) == (400, "DIGEST_INVALID")

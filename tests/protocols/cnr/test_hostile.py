"""Names, bodies, headers and queries that an attacker would send: a clear 4xx or nothing special, never a 5xx.

Source: design/hostile-inputs.md, the rows that reach the CNR API.
"""

import http.client
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, Raw, connected, done, error_of, refused
from tests.protocols.cnr.packages import b64, chart, tar_digest
from tests.protocols.cnr.server import Server

PACKAGES = "/api/v1/packages"
TRAVERSALS = (
    *(
        "..",
        ".",
        "...",
        "%2e%2e",
        "%2E.",
        "%252e%252e",
        "..%2f..",
        "..%5c..",
        "%5c",
        "\\",
        "a\\b",
        "%00",
        "a%00b",
        "%0a",
    ),
    *(
        "%E2%80%A4%E2%80%A4",
        "%EF%BC%8E%EF%BC%8E",
        "%C0%AE%C0%AE",
        "%FF",
        "x" * 300,
        "CON",
        "a%20",
        "~root",
        "$HOME",
        "%7f",
    ),
    *("a!b", "a;b", "*", "%3f", "%23", "|id", "`id`", "{x}", "%s%s%n", "a%2fb", "a//b", "%F0%9F%92%A9"),
)


def files(server: Server) -> set[Path]:
    """Every file and folder of the server that is no blob, lock or log of its database."""
    return {path for path in server.folder.rglob("*") if "blobs" not in path.parts and "spool" not in path.parts}


def no_surprise(answer: Raw) -> None:
    """Not found or refused, in the API's own words or (a request that is no HTTP) in the HTTP server's."""
    assert answer.status_code in (400, 404, 405), answer.content
    if answer.headers["content-type"].startswith("application/json"):
        error_of(answer)
    else:
        assert answer.status_code == 400


@pytest.mark.parametrize("name", TRAVERSALS, ids=lambda text: text[:12])
def test_names_that_would_leave_the_store(cnr: Cnr, server: Server, package: str, name: str) -> None:
    cnr.pushed(package, "1.0.0")
    listed, before = done(cnr.get("/search?q=")), files(server)
    body = json.dumps({"blob": b64(chart()), "release": "1.0.0", "media_type": "helm"}).encode()
    for path in (f"/{name}/x", f"/x/{name}", f"/{name}/{name}"):
        no_surprise(cnr.raw("POST", PACKAGES + path, body=body))
        for end in ("", "/1.0.0", "/1.0.0/helm", "/1.0.0/helm/pull", "/channels", f"/blobs/sha256/{'0' * 64}"):
            no_surprise(cnr.raw("GET", PACKAGES + path + end))
        no_surprise(cnr.raw("DELETE", f"{PACKAGES}{path}/1.0.0/helm"))
        no_surprise(cnr.raw("POST", f"{PACKAGES}{path}/channels/c/1.0.0"))
    assert done(cnr.get("/search?q=")) == listed
    assert files(server) == before


@pytest.mark.parametrize("text", TRAVERSALS, ids=lambda text: text[:12])
def test_releases_formats_and_digests_that_would_leave_the_store(cnr: Cnr, package: str, text: str) -> None:
    cnr.pushed(package, "1.0.0")
    base = f"{PACKAGES}/{package}"
    paths = (
        *(f"/1.0.0/{text}", f"/1.0.0/{text}/pull", f"/blobs/sha256/{text}", f"/blobs/{text}/{'0' * 64}"),
        *(f"/blobs/sha256/{text}/json", f"/channels/{text}", f"/1.0.0/../../{text}", f"/1.0.0/helm/../{text}"),
    )
    for path in paths:
        no_surprise(cnr.raw("GET", base + path))
    for path in (f"/{text}/helm", f"/{text}/helm/pull"):
        answer = cnr.raw("GET", base + path)
        assert answer.status_code in (200, 400, 404, 422)
        assert answer.status_code != 200 or text == "*"
    for path in (f"/{text}/helm", f"/1.0.0/{text}", f"/channels/{text}", f"/channels/{text}/1.0.0"):
        no_surprise(cnr.raw("DELETE", base + path))
    assert done(cnr.show(package))["channels"] == []


@pytest.mark.parametrize("digest", ["sha256:{}", "sha256:{}0", "{}0", "{}%0a", "%20{}", "sha512:{}", "{}{}", "+{}"])
def test_spellings_of_a_digest_are_it_or_not_found(cnr: Cnr, package: str, digest: str) -> None:
    blob = chart("spelled")
    done(cnr.push(package, blob=blob))
    text = digest.replace("{}", tar_digest(blob))
    answer = cnr.raw("GET", f"{PACKAGES}/{package}/blobs/sha256/{text}")
    assert answer.status_code == (200 if digest == "sha256:{}" else 404)
    upper = cnr.raw("GET", f"{PACKAGES}/{package}/blobs/sha256/{tar_digest(blob).upper()}")
    assert upper.content == blob


REGEX = (
    "((((a+)+)+)+$",
    "(" * 1000,
    "%",
    "%%",
    "_",
    "' OR 1=1 --",
    '"; DROP TABLE tags; --',
    "\\",
    "\x00",
    "NEAR(",
    "a*",
)


@pytest.mark.parametrize("query", [*REGEX, "a" * 3000], ids=lambda text: text[:12])
def test_queries_are_text_to_look_for(cnr: Cnr, package: str, query: str) -> None:
    cnr.pushed(package, "1.0.0")
    for path, name in (("/search", "q"), ("", "query"), ("", "namespace"), ("", "media_type"), ("", "after")):
        found = done(cnr.get(path, params={name: query}))
        if name != "after":
            assert package not in str(found)
    assert isinstance(done(cnr.site("/api/v1/search", params={"q": query})), list)


def test_a_query_of_a_megabyte(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    long = "a" * 1_000_000
    for path, name in (("/search", "q"), ("", "query"), ("", "namespace"), (f"/{package}", "media_type")):
        in_path = cnr.raw("GET", f"{PACKAGES}{path}?{name}={long}")
        assert in_path.status_code in (200, 400, 413, 414, 431), in_path.content[:200]
        in_body = cnr.site(PACKAGES + path, content=json.dumps({name: long}))
        assert in_body.status_code in (200, 400, 413)
        assert in_body.status_code != 200 or in_body.json() == []


@pytest.mark.parametrize("limit", ["-1", "0", "1000000000000000000", "abc", "1e9", "NaN", "", "0x10", " 5", "٥", "1;2"])
def test_limits_of_a_page(cnr: Cnr, limit: str) -> None:
    for answer in (cnr.get(params={"limit": limit}), cnr.site("/api/v1/search", params={"q": "x", "limit": limit})):
        refused(answer, 400, "invalid-usage")
    done(cnr.get(params={"n": limit, "last": limit}))


@pytest.mark.parametrize("value", [None, 5, 1.5, True, [], ["x"], {}, {"a": 1}])
@pytest.mark.parametrize("field", ["namespace", "query", "media_type", "q", "limit", "after"])
def test_parameters_of_another_type(cnr: Cnr, field: str, value: object) -> None:
    for path in (PACKAGES, f"{PACKAGES}/search", "/api/v1/search"):
        answer = cnr.site(path, content=json.dumps({"q": "x", field: value}))
        assert answer.status_code in (200, 400), answer.content


WRONG = [5, -1, 1.5, True, False, [], ["x"], {}, {"a": "b"}, 10**400, "\x00", "\x1b[31m", "é"]


@pytest.mark.parametrize("value", WRONG, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize("field", ["release", "blob", "media_type"])
def test_fields_of_a_push_with_another_type(cnr: Cnr, package: str, field: str, value: object) -> None:
    blob = chart("typed")
    fields = {"release": "1.0.0", "media_type": "helm", "blob": b64(blob), field: value}
    answer = cnr.post(f"/{package}", content=json.dumps(fields))
    assert answer.status_code in (400, 422), answer.content
    error_of(answer)
    nothing_stored(cnr, package, blob)


def nothing_stored(cnr: Cnr, package: str, blob: bytes) -> None:
    refused(cnr.get(f"/{package}"), 404, "package-not-found")
    assert cnr.names(package.partition("/")[0]) == []
    assert done(cnr.get("/search", params={"q": package})) == []
    refused(cnr.get(f"/{package}/blobs/sha256/{tar_digest(blob)}"), 404, "package-not-found")


def test_a_refused_push_leaves_no_blob_in_a_package_that_exists(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    blob = chart("refused")
    fields: list[dict[str, Any]] = [
        {"release": "1.0.0"},
        {"release": "1.0"},
        {"release": "2.0.0", "media_type": "a.b"},
        {"release": "2.0.0", "metadata": []},
        {"release": "2.0.0", "metadata": {"a": "x" * 70_000}},
    ]
    for wrong in fields:
        answer = cnr.post(f"/{package}", json={"blob": b64(blob), "media_type": "helm", **wrong})
        assert 400 <= answer.status_code < 500
        refused(cnr.get(f"/{package}/blobs/sha256/{tar_digest(blob)}"), 404, "package-not-found")
    assert [item["release"] for item in done(cnr.get(f"/{package}"))] == ["1.0.0"]


def raw_json(metadata: str, blob: bytes) -> str:
    return f'{{"release": "1.0.0", "media_type": "helm", "metadata": {metadata}, "blob": "{b64(blob)}"}}'


INVALID_JSON = {
    "NaN": "NaN",
    "Infinity": "-Infinity",
    "lone surrogate": '{"a": "\\ud800"}',
    "reversed surrogates": '{"a": "\\udc00\\ud800"}',
    "single quotes": "{'a': 1}",
    "comment": "{} /* */",
    "trailing comma": '{"a": 1,}',
    "control character": '{"a": "\x01"}',
    "leading zero": '{"a": 01}',
    "bad escape": '{"a": "\\x41"}',
    "deep array": "[" * 100_000 + "]" * 100_000,
    "deep object": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "unclosed": "[" * 100_000,
}


@pytest.mark.parametrize("metadata", INVALID_JSON.values(), ids=INVALID_JSON.keys())
def test_json_that_is_none(cnr: Cnr, package: str, metadata: str) -> None:
    blob = chart("no json")
    answer = cnr.post(f"/{package}", content=raw_json(metadata, blob))
    assert answer.status_code in (400, 413), answer.content
    error_of(answer)
    nothing_stored(cnr, package, blob)


@pytest.mark.parametrize("depth", [10, 100, 500, 900, 1000, 1100, 5000])
def test_metadata_is_refused_or_comes_back_as_it_was(cnr: Cnr, package: str, depth: int) -> None:
    metadata = '{"a":' * depth + "1" + "}" * depth
    answer = cnr.post(f"/{package}", content=raw_json(metadata, chart()))
    if answer.status_code == 200:
        for path in ("", "/1.0.0", "/1.0.0/helm"):
            shown = cnr.get(f"/{package}{path}")
            assert shown.status_code == 200
            assert metadata in shown.text.replace(" ", "").replace("\n", "")
        done(cnr.push(package, "2.0.0"))
        done(cnr.push(package, "1.0.0", "kpm"))
        done(cnr.delete(f"/{package}/1.0.0/helm"))
    else:
        refused(answer, 400, "invalid-usage")


@pytest.mark.parametrize(
    "number", ["1e999", "-1e999", "1" * 400, "18446744073709551616", "1.7976931348623157e308", "-0.0"]
)
def test_large_numbers_in_metadata(cnr: Cnr, package: str, number: str) -> None:
    answer = cnr.post(f"/{package}", content=raw_json(f'{{"a": {number}}}', chart()))
    assert answer.status_code in (200, 400), answer.content
    if answer.status_code == 200:
        assert done(cnr.show(package))["metadata"] == json.loads(f'{{"a": {number}}}')


def test_the_last_of_two_equal_keys_counts(cnr: Cnr, package: str) -> None:
    first, last = chart("first"), chart("last")
    body = (
        f'{{"release": "1.0.0", "blob": "{b64(first)}", "media_type": "kpm", "media_type": "helm",'
        f' "blob": "{b64(last)}", "release": "2.0.0"}}'
    )
    done(cnr.post(f"/{package}", content=body))
    assert [item["release"] for item in done(cnr.get(f"/{package}"))] == ["2.0.0"]
    assert cnr.get(f"/{package}/2.0.0/helm/pull").content == last
    refused(cnr.get(f"/{package}/blobs/sha256/{tar_digest(first)}"), 404, "package-not-found")


def test_unknown_and_odd_keys_are_ignored(cnr: Cnr, package: str) -> None:
    odd: dict[str, Any] = {"": 1, "__proto__": {}, "Release": "9.9.9", "visibility": "private", "x" * 999: None}
    done(cnr.push(package, "1.0.0", **odd))
    assert done(cnr.get(params={"query": package}))[0]["visibility"] == "public"
    assert sorted(done(cnr.get(f"/{package}"))[0]) == ["content", "created_at", "mediaType", "package", "release"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig", "latin-1"])
def test_bodies_in_another_encoding(cnr: Cnr, package: str, encoding: str) -> None:
    blob = chart("encoded")
    answer = cnr.post(f"/{package}", content=raw_json('{"a": "é"}', blob).encode(encoding))
    if answer.status_code == 200:
        assert encoding == "utf-8-sig"
    else:
        error_of(answer)
        nothing_stored(cnr, package, blob)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Long": "x" * 500_000},
        {f"X-{number}": "x" * 100 for number in range(5000)},
        {"Content-Length": "abc"},
        {"Content-Length": "-1"},
        {"Content-Length": "9" * 30},
        {"Transfer-Encoding": "nonsense"},
        {"Host": "\x00"},
        {"Expect": "nonsense"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Type": "multipart/form-data; boundary=" + "x" * 10_000},
        {"Content-Type": "application/json; charset=nonsense"},
    ],
    ids=lambda headers: next(f"{name}:{value[:9]}" for name, value in headers.items()),
)
def test_headers(cnr: Cnr, package: str, headers: dict[str, str]) -> None:
    try:
        answer = cnr.raw("POST", f"{PACKAGES}/{package}", headers, b"" if "Content-Length" in headers else b"x=1")
    except (http.client.BadStatusLine, ConnectionError):
        pass  # closed without an answer: what some servers do with headers that are no HTTP
    else:
        assert answer.status_code in (400, 413, 417, 422, 431, 501), answer.content
    done(cnr.site("/version"))


def test_a_body_that_ends_early_stores_nothing(cnr: Cnr, package: str) -> None:
    blob = chart("cut")
    body = raw_json("null", blob).encode()
    head = f"POST {cnr.prefix}{PACKAGES}/{package} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    for end in (1, len(body) // 2, len(body) - 1):
        with connected(cnr.http.base_url) as connection:
            connection.sendall(head.encode() + body[:end])
    nothing_stored(cnr, package, blob)


def test_terminal_codes_in_names_do_not_come_back_raw(cnr: Cnr) -> None:
    answer = cnr.raw("POST", f"{PACKAGES}/a%1b%5b31m/x", body=b"{}")
    refused(answer, 400, "invalid-usage")
    assert b"\x1b" not in answer.content
    assert cnr.raw("GET", "/%0d%0aSet-Cookie:%20a=b").headers.get("set-cookie") is None


def test_no_answer_has_a_stack_trace_or_a_path(cnr: Cnr, server: Server, package: str) -> None:
    answers: list[httpx.Response] = [
        cnr.push(package, blob=b"junk"),
        cnr.push(package, [1]),
        cnr.get("/%00/%00"),
        cnr.get(f"/{package}/blobs/sha256/.."),
    ]
    for answer in answers:
        assert str(server.folder) not in answer.text
        assert "Traceback" not in answer.text
        assert ".py" not in answer.text

"""`cnr copy` and its relatives with registries that fail, lie, or want something that they must not get."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.cli.misbehaving import Handler, Misbehaving, endless, half, listed, misbehaving, referrers, times
from tests.cli.oci_repository import MANIFEST, OciRepository, descriptor, digest_of, image, index

Run = Callable[..., Any]
BIG = os.urandom(1024 * 1024)
BLOBS = "/v2/r/r/blobs/"
TAGS = "/v2/r/r/tags/list"


@pytest.fixture
def bad() -> Iterator[Misbehaving]:
    with misbehaving() as registry:
        yield registry


@pytest.fixture
def other() -> Iterator[Misbehaving]:
    with misbehaving() as registry:
        yield registry


@pytest.fixture
def target(home: str) -> OciRepository:
    return OciRepository(f"{home}/target")


def path_of(blob: bytes) -> str:
    return BLOBS + digest_of(blob)


def on_get(gate: Callable[[Handler], bool]) -> Callable[[Handler], bool]:
    """The gate, for the bytes of BIG alone."""
    return lambda handler: handler.command == "GET" and handler.path == path_of(BIG) and gate(handler)


def test_a_download_goes_on_where_it_broke(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    manifest = bad.image(image(BIG), BIG)
    bad.gate = on_get(times(1, half(BIG)))
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 0
    assert target.get("v1") == manifest
    assert [headers.get("range") for headers in bad.headers(path_of(BIG))] == [None, f"bytes={len(BIG) // 2}-"]


def test_also_where_the_registry_has_no_ranges(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    manifest = bad.image(image(BIG), BIG)
    bad.gate = on_get(times(1, half(BIG)))
    bad.special[path_of(BIG)] = lambda handler: handler.answer(200, BIG)
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 0
    assert target.get("v1") == manifest


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_is_busy_is_asked_again(cnr: Run, bad: Misbehaving, target: OciRepository, status: int) -> None:
    manifest = bad.image(image(BIG), BIG)
    bad.gate = times(3, lambda handler: handler.answer(status, Retry_After=0 if status != 500 else None))
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 0
    assert target.get("v1") == manifest


def test_but_not_for_ever(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    bad.image(image(BIG), BIG)
    bad.gate = on_get(times(-1, lambda handler: handler.answer(503, Retry_After=0)))
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, target.tags()) == (6, [])
    assert len(bad.headers(path_of(BIG))) == 6
    bad.gate = times(-1, lambda handler: handler.answer(503, Retry_After=9999))
    asked = len(bad.asked)
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 6
    assert len(bad.asked) == asked + 1


def test_a_target_that_breaks_is_sent_the_layer_again(cnr: Run, bad: Misbehaving, home: str) -> None:
    source = OciRepository(f"{home}/source")
    manifest = source.image(BIG, tag="v1")
    broken = times(2, lambda handler: handler.answer(500))
    bad.gate = lambda handler: handler.command == "PUT" and "uploads" in handler.path and broken(handler)
    assert cnr("copy", f"{source.address}:v1", bad.address, "--jobs", "1").code == 0
    assert bad.blobs[digest_of(BIG)] == BIG
    assert bad.manifests["v1"] == manifest
    assert bad.count("POST", "uploads") == 4


def other_bytes(handler: Handler) -> None:
    handler.answer(200, BIG[:-1] + b"?" if BIG[-1:] != b"?" else BIG[:-1] + b"!")


LIES: dict[str, Callable[[Handler], None]] = {
    "other bytes": other_bytes,
    "more than promised": lambda handler: handler.answer(200, BIG + b"more"),
    "less than promised": lambda handler: handler.answer(200, BIG[:-1]),
    "endless": endless,
    "another length, then the promised bytes": lambda handler: handler.answer(200, BIG, Content_Length=10**12),
}


@pytest.mark.parametrize("lie", LIES)
def test_wrong_bytes_are_never_tagged(cnr: Run, bad: Misbehaving, target: OciRepository, lie: str) -> None:
    bad.image(image(BIG), BIG)
    bad.gate = on_get(times(-1, LIES[lie]))
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, failed.out, failed.err.count("\n")) == (7, "", 1)
    assert target.tags() == []
    assert not target.has_blob(BIG)


def served(data: bytes, kind: str = MANIFEST) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(200, data, Content_Type=kind)


def nested(depth: int) -> list[bytes]:
    found = [image(BIG)]
    for _ in range(depth):
        found.append(index(found[-1]))
    return found


MANIFESTS: dict[str, tuple[Callable[[Handler], None], int]] = {
    "above 4 MiB": (served(b" " * (4 * 1024 * 1024 + 1)), 1),
    "endless": (endless, 1),
    "no JSON": (served(b"<html>"), 1),
    "JSON of another kind": (served(b"[]"), 1),
    "nested too deeply": (served(b"[" * 100_000), 1),
    "both manifest and index": (served(image(BIG)[:-1] + b', "manifests": []}'), 1),
    "another type than its own": (served(image(BIG), "application/vnd.oci.image.index.v1+json"), 1),
    "a digest that is none": (served(image(BIG).replace(b"sha256:", b"sha256:../")), 1),
    "a size below zero": (served(image(BIG).replace(b'"size": 2', b'"size": -2')), 1),
    "a header with no digest": (lambda handler: handler.answer(200, image(BIG), Docker_Content_Digest="../x"), 1),
    "another digest": (lambda handler: handler.answer(200, image(BIG), Docker_Content_Digest=digest_of(b"")), 7),
}


@pytest.mark.parametrize("kind", MANIFESTS)
def test_manifests_that_are_none(cnr: Run, bad: Misbehaving, target: OciRepository, kind: str) -> None:
    bad.special["/v2/r/r/manifests/v1"], code = MANIFESTS[kind]
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, failed.out, failed.err.count("\n")) == (code, "", 1)
    assert target.tags() == []


def test_a_manifest_under_a_digest_that_it_does_not_have(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    child = image(BIG)
    bad.image(index(child), BIG)
    bad.special[f"/v2/r/r/manifests/{digest_of(child)}"] = served(image(b"evil"))
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, target.tags()) == (7, [])


def test_indexes_in_indexes_without_end(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    for manifest in nested(30):
        bad.image(manifest, BIG)
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, target.tags()) == (1, [])
    assert "leads to too many manifests" in failed.err


def test_a_referrer_that_is_none(cnr: Run, bad: Misbehaving, target: OciRepository) -> None:
    manifest = bad.image(image(BIG), BIG)
    stray = bad.image(image(b"stray"), b"stray", tag="stray")
    bad.special[f"/v2/r/r/referrers/{digest_of(manifest)}"] = referrers(descriptor(stray, MANIFEST))
    failed = cnr("copy", "-r", f"{bad.address}:v1", target.address)
    assert (failed.code, target.tags()) == (1, [])
    assert "refers to another" in failed.err


LISTS: dict[str, tuple[Callable[[Handler], None], str]] = {
    "a next page elsewhere": (listed(["a"], Link='<http://127.0.0.1:1/x>; rel="next"'), "to another host"),
    "always the same page": (listed(["a"], Link=f'<{TAGS}?n=1&last=a>; rel="next"'), "does not come to an end"),
    "a million tags": (listed([f"t{number}" for number in range(1_000_000)]), "has more than 500,000 tags"),
    "tags that are none": (listed(["../../etc"]), "lists a tag that is none"),
    "no list": (listed("abc"), "cannot be read"),
    "endless": (endless, "is longer than"),
}


@pytest.mark.parametrize("kind", LISTS)
def test_lists_of_tags(cnr: Run, bad: Misbehaving, kind: str) -> None:
    bad.special[TAGS], text = LISTS[kind]
    failed = cnr("tag", "ls", bad.address)
    assert (failed.code, failed.out, failed.err.count("\n")) == (1, "", 1)
    assert text in failed.err


def test_ctrl_c_ends_transfers_under_way(bad: Misbehaving, target: OciRepository) -> None:
    size = 10**12
    bad.image(image(BIG).replace(str(len(BIG)).encode(), str(size).encode()), BIG)
    bad.special[path_of(BIG)] = endless
    words = (sys.executable, "-m", "cnr.cli.main", "copy", f"{bad.address}:v1", target.address)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not bad.headers(path_of(BIG)):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", "cnr: interrupted\n")
    assert (process.returncode, target.tags()) == (130, [])


def test_an_upload_is_not_sent_to_another_host(cnr: Run, bad: Misbehaving, other: Misbehaving, home: str) -> None:
    source = OciRepository(f"{home}/source")
    source.image(BIG, tag="v1")
    elsewhere = f"http://127.0.0.1:{other.port}/v2/r/r/blobs/uploads/1"
    bad.special["/v2/r/r/blobs/uploads/"] = lambda handler: handler.answer(202, Location=elsewhere)
    failed = cnr("copy", f"{source.address}:v1", bad.address)
    assert (failed.code, other.asked) == (1, [])
    assert "to another host" in failed.err


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def asks_basic(handler: Handler) -> bool:
    if handler.headers.get("Authorization") == basic("me", "secret"):
        return False
    handler.answer(401, WWW_Authenticate='Basic realm="registry"')
    return True


def asks_bearer(realm: str) -> Callable[[Handler], bool]:
    def gate(handler: Handler) -> bool:
        if handler.path.startswith("/token") or handler.headers.get("Authorization") == "Bearer t0ken":
            return False
        challenge = f'Bearer realm="{realm}",service="registry",scope="repository:r/r:pull,push"'
        handler.answer(401, WWW_Authenticate=challenge)
        return True

    return gate


def token(handler: Handler) -> None:
    handler.answer(200, json.dumps({"token": "t0ken", "expires_in": 60}).encode())


def test_basic_credentials(cnr: Run, bad: Misbehaving, target: OciRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = bad.image(image(BIG), BIG)
    bad.gate = asks_basic
    refused = cnr("copy", f"{bad.address}:v1", target.address)
    assert refused.code == 5
    monkeypatch.setenv("CNR_SOURCE_USERNAME", "me")
    monkeypatch.setenv("CNR_SOURCE_PASSWORD", "secret")
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 0
    assert target.get("v1") == manifest


def test_the_targets_credentials_are_not_for_the_source(
    cnr: Run, bad: Misbehaving, target: OciRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad.image(image(BIG), BIG)
    bad.gate = asks_basic
    monkeypatch.setenv("CNR_USERNAME", "me")
    monkeypatch.setenv("CNR_PASSWORD", "secret")
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 5
    assert not any("authorization" in headers for _, _, headers in bad.asked)
    assert cnr("copy", f"{bad.address}:v1", f"{bad.address}:v2").code == 0


def test_a_token_is_fetched_and_used(
    cnr: Run, bad: Misbehaving, other: Misbehaving, home: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = OciRepository(f"{home}/source")
    manifest = source.image(BIG, tag="v1")
    bad.gate = asks_bearer(f"http://127.0.0.1:{other.port}/token")
    other.special["/token"] = token
    assert cnr("copy", f"{source.address}:v1", bad.address).code == 0
    assert bad.manifests["v1"] == manifest
    assert "authorization" not in other.headers("/token")[0]
    assert "scope=repository%3Ar%2Fr%3Apull%2Cpush" in other.asked[0][1]
    assert "service=registry" in other.asked[0][1]
    monkeypatch.setenv("CNR_USERNAME", "me")
    monkeypatch.setenv("CNR_PASSWORD", "secret")
    assert cnr("tag", "ls", bad.address).code == 3
    assert other.headers("/token")[-1]["authorization"] == basic("me", "secret")
    assert not any(
        headers.get("authorization", "").startswith("Basic")
        for _, path, headers in bad.asked
        if "v2" in path and "r/r" in path
    )


@pytest.mark.parametrize("realm", ["http://192.0.2.1/token", "file:///etc/passwd", "gopher://x/", "", "https://u:p@h/"])
def test_a_realm_that_is_no_https_address(cnr: Run, bad: Misbehaving, realm: str) -> None:
    bad.gate = asks_bearer(realm)
    refused = cnr("tag", "ls", bad.address)
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "no https address" in refused.err


def test_a_token_server_that_answers_nonsense(cnr: Run, bad: Misbehaving) -> None:
    bad.gate = asks_bearer(f"http://127.0.0.1:{bad.port}/token")
    for answer in (
        endless,
        lambda handler: handler.answer(200, b"{}"),
        lambda handler: handler.answer(302, Location="/"),
    ):
        bad.special["/token"] = answer
        refused = cnr("tag", "ls", bad.address)
        assert (refused.code, refused.err.count("\n")) == (1, 1)
    bad.special["/token"] = lambda handler: handler.answer(401)
    assert cnr("tag", "ls", bad.address).code == 5


def test_a_redirect_to_another_host_takes_no_credentials_along(
    cnr: Run, bad: Misbehaving, other: Misbehaving, target: OciRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = bad.image(image(BIG), BIG)
    other.special["/storage"] = lambda handler: handler.answer(200, BIG)
    bad.gate = asks_basic
    bad.special[path_of(BIG)] = lambda handler: handler.answer(307, Location=f"http://127.0.0.1:{other.port}/storage")
    monkeypatch.setenv("CNR_SOURCE_USERNAME", "me")
    monkeypatch.setenv("CNR_SOURCE_PASSWORD", "secret")
    assert cnr("copy", f"{bad.address}:v1", target.address).code == 0
    assert target.get("v1") == manifest
    assert "authorization" in bad.headers(path_of(BIG))[0]
    assert ["authorization" in headers for headers in other.headers("/storage")] == [False]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "/v2/r/r/blobs/again"])
def test_redirects_that_are_refused(cnr: Run, bad: Misbehaving, target: OciRepository, location: str) -> None:
    bad.image(image(BIG), BIG)
    for path in (path_of(BIG), "/v2/r/r/blobs/again"):
        bad.special[path] = lambda handler: handler.answer(307, Location=location)
    failed = cnr("copy", f"{bad.address}:v1", target.address)
    assert (failed.code, failed.err.count("\n"), target.tags()) == (1, 1, [])

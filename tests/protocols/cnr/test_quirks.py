"""Faults of the old servers that must not come back, where no numbered case covers them.

Source: contracts/cnr.md section 6, whose numbers the tests bear.
"""

from collections.abc import Callable

import httpx
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.packages import b64, chart
from tests.protocols.cnr.server import Server

NewServer = Callable[..., Server]


def test_10_reads_never_write(new_server: NewServer) -> None:
    server = new_server()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        cnr = Cnr(client, "")
        cnr.pushed("ns/app", "1.0.0")
        before = {path.name: path.stat().st_mtime_ns for path in server.store.glob("records.sqlite*")}
        for path in (
            "",
            "/search?q=a",
            "/ns/app",
            "/ns/app/1.0.0/helm",
            "/ns/app/channels",
            "/no/such",
            "/ns/app/9.9.9",
        ):
            cnr.get(path)
        assert {path.name: path.stat().st_mtime_ns for path in server.store.glob("records.sqlite*")} == before


def test_11_no_body_and_no_credential_is_logged(new_server: NewServer) -> None:
    server = new_server()
    blob = chart("not for the log")
    with httpx.Client(base_url=server.url, timeout=60) as client:
        cnr = Cnr(client, "")
        secret = {"Authorization": "basic c2VjcmV0OnRva2Vu", "Cookie": "secret-cookie"}
        body = {"blob": b64(blob), "release": "1.0.0", "media_type": "helm"}
        for fields in (
            body,
            {**body, "release": 1},
            {**body, "blob": b64(blob) + "!"},
            {**body, "metadata": {"k": 2**64}},
        ):
            cnr.post("/ns/app?token=secret-query", json=fields, headers=secret)
        cnr.site("/api/v1/users/login", "POST", json={"user": {"username": "u", "password": "secret-password"}})
        cnr.site("/api/v1/users/login", "POST", json={"user": {"username": "", "password": "secret-password"}})
    server.stop()
    log = server.output()
    assert log.count('"route":"/api/v1/packages/{namespace}/{name}"') == 4
    for text in ("secret", "c2VjcmV0OnRva2Vu", b64(blob)[:40]):
        assert text not in log


def test_17_errors_name_the_channel_and_the_package(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "1.0.0")
    for answer in (cnr.get(f"/{package}/channels/x"), cnr.delete(f"/{package}/channels/x")):
        error = refused(answer, 404, "channel-not-found")
        assert error["details"] == {"channel": "x", "package": package, "release": None}


def test_19_lists_have_an_order(cnr: Cnr, package: str) -> None:
    for media_type in ("kpm", "helm", "appr", "docker-compose"):
        done(cnr.push(package, "1.0.0", media_type))
    for name in ("stable", "beta", "edge"):
        done(cnr.post(f"/{package}/channels/{name}/1.0.0"))
    formats = ["appr", "docker-compose", "helm", "kpm"]
    assert [item["mediaType"].split(".")[-3] for item in done(cnr.get(f"/{package}/1.0.0"))] == formats
    assert done(cnr.get(params={"query": package}))[0]["manifests"] == formats
    assert done(cnr.show(package))["channels"] == ["beta", "edge", "stable"]
    assert [item["name"] for item in done(cnr.get(f"/{package}/channels"))] == ["beta", "edge", "stable"]


def test_21_a_failed_push_creates_no_package(cnr: Cnr, package: str) -> None:
    refused(cnr.push(package, blob=b"junk"), 422, "invalid-parameters")
    for path in ("", "/channels", "/1.0.0", "/default/helm"):
        refused(cnr.get(f"/{package}{path}"), 404, "package-not-found")
    cnr.pushed(package, "1.0.0")
    first = done(cnr.show(package))["created_at"]
    assert done(cnr.get(params={"query": package}))[0]["created_at"] == first

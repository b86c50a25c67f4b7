"""Every code of the error catalogue, once each. Source: contracts/cnr.md section 5."""

import fcntl
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest
from tests.protocols.cnr.client import Answer, Cnr, done, refused
from tests.protocols.cnr.packages import b64, chart, gz, tar
from tests.protocols.cnr.server import Server
from tests.services.storage import needs_files

NewServer = Callable[..., Server]

ROWS: Final = {
    (400, "invalid-usage"): lambda cnr, package: cnr.push(package, 1),
    (404, "package-not-found"): lambda cnr, package: cnr.show("no/pkg"),
    (404, "package-release-not-found"): lambda cnr, package: cnr.show(package, "9.9.9"),
    (404, "channel-not-found"): lambda cnr, package: cnr.get(f"/{package}/channels/none"),
    (404, "resource-not-found"): lambda cnr, package: cnr.site("/nope"),
    (405, "method-not-allowed"): lambda cnr, package: cnr.site("/version", "PUT"),
    (409, "package-exists"): lambda cnr, package: cnr.push(package),
    (413, "payload-too-large"): lambda cnr, package: cnr.push(package, "2.0.0", metadata={"a": "x" * 70_000}),
    (422, "invalid-release"): lambda cnr, package: cnr.push(package, "1.0"),
    (422, "invalid-parameters"): lambda cnr, package: cnr.push(package, "2.0.0", blob=b"junk"),
}
"""What anybody can bring about with one request."""

ELSEWHERE: Final = {
    (409, "resource-in-use"): "test_a_record_without_room",
    (500, "internal-error"): "test_a_broken_record",
    (503, "unavailable"): "test_a_store_that_does_not_answer",
    (507, "insufficient-storage"): "test_a_full_disk",
}

WAITING: Final = {
    (401, "unauthorized-access"): "issue 6: accounts",
    (403, "forbidden"): "issue 6: accounts",
    (405, "read-only"): "issue 4: a store that may only be read",
    (429, "too-many-requests"): "issue 7: rate limits",
    (501, "unsupported"): "never over HTTP",
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_codes_that_a_request_brings_about(cnr: Cnr, package: str, row: tuple[int, str]) -> None:
    cnr.pushed(package, "1.0.0")
    answer: Answer = ROWS[row](cnr, package)
    refused(answer, *row)


def test_the_catalogue_is_complete() -> None:
    assert len(ROWS.keys() | ELSEWHERE.keys() | WAITING.keys()) == 19
    assert all(name in globals() for name in ELSEWHERE.values())


def test_the_worked_example(cnr: Cnr) -> None:
    error = refused(cnr.get("/no/pkg/1.0.0/helm"), 404, "package-not-found", package="no/pkg")
    assert sorted(error["details"]) == ["media_type", "package", "release"]


@contextmanager
def running(server: Server) -> Iterator[Cnr]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield Cnr(client, "")


def test_a_record_without_room(own: Cnr) -> None:
    """All formats of a release share one record of at most 400 KiB."""
    answers = [own.push("ns/app", "1.0.0", f"f{number}", metadata={"a": "x" * 60_000}) for number in range(8)]
    accepted = [answer for answer in answers if answer.status_code == 200]
    assert 5 <= len(accepted) < 8
    refused(answers[-1], 409, "resource-in-use")
    assert len(done(own.get("/ns/app/1.0.0"))) == len(accepted)


@needs_files
def test_a_broken_record(new_server: NewServer) -> None:
    server = new_server(checked=False)
    with running(server) as cnr:
        cnr.pushed("ns/app", "1.0.0")
        database = sqlite3.connect(server.store / "records.sqlite")
        database.execute("UPDATE records SET value = x'00' WHERE key = 'tags/ns!app/1.0.0'")
        database.commit()
        database.close()
        error = refused(cnr.show("ns/app"), 500, "internal-error")
        assert "Traceback" not in str(error)
    assert "Traceback" in server.output()


@needs_files
def test_a_store_that_does_not_answer(new_server: NewServer) -> None:
    """As if a process stopped in the middle of a commit: writes give up, reads go on, then all is well."""
    server = new_server()
    with running(server) as cnr, (server.store / "records.lock").open("r+b") as lock:
        cnr.pushed("ns/app", "1.0.0")
        fcntl.flock(lock, fcntl.LOCK_EX)
        answer = cnr.push("ns/app", "2.0.0")
        refused(answer, 503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert done(cnr.show("ns/app"))["release"] == "1.0.0"
        fcntl.flock(lock, fcntl.LOCK_UN)
        cnr.pushed("ns/app", "2.0.0")
        assert done(cnr.get())[0]["releases"] == ["2.0.0", "1.0.0"]


def small_disk(folder: Path) -> tuple[str, ...]:
    """A command that runs another with `folder` as a file system of 16 MiB of its own."""
    mount = f'mount -t tmpfs -o size=16m tmpfs \'{folder}\' && exec "$0" "$@"'
    return ("unshare", "--map-root-user", "--mount", "sh", "-c", mount)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Server]:
    """A server on a small disk."""
    store = tmp_path / "store"
    store.mkdir()
    try:
        probe = subprocess.run([*small_disk(store), "true"], capture_output=True, check=False).returncode
    except FileNotFoundError:
        probe = 1
    if probe:
        pytest.skip("a file system of one's own needs user namespaces")
    server = Server(tmp_path, wrapper=small_disk(store))
    try:
        yield server.start()
    finally:
        server.kill()


@needs_files
@pytest.mark.parametrize("size", [5_000, 1_500_000], ids=["records", "files"])
def test_a_full_disk(small: Server, size: int) -> None:
    with running(small) as cnr:
        stored = []
        for number in range(5000):
            noise = (number * 7919).to_bytes(4, "big") * (size // 4)
            answer = cnr.push("ns/app", f"0.{number}.0", blob=gz(tar({"app/noise": noise}), 0))
            if answer.status_code != 200:
                break
            stored.append(f"0.{number}.0")
        refused(answer, 507, "insufficient-storage")
        assert stored
        assert {item["release"] for item in done(cnr.get("/ns/app"))} == set(stored)
        assert cnr.get(f"/ns/app/{stored[-1]}/helm/pull").status_code == 200
        body = {"blob": b64(chart()), "release": "9.9.9", "media_type": "helm"}
        assert cnr.post("/ns/app", json=body).status_code in (200, 507)

"""Large pushes: refused before they are read, or streamed through in bounded memory."""

import http.client
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, connected, done
from tests.protocols.cnr.packages import gz, tar, tar_digest
from tests.protocols.cnr.server import Server
from tests.services.storage import needs_files

MIB = 1 << 20
NewServer = Callable[..., Server]


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
def test_500_mb_are_refused_without_being_read(cnr: Cnr, package: str, expect: str) -> None:
    """The client sees the 413 although it goes on sending; one that asks first never sends."""
    size = 500 * MIB
    head = f"POST {cnr.prefix}/api/v1/packages/{package} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{expect}\r\n"
    with connected(cnr.http.base_url) as connection:
        connection.sendall(head.encode())
        if not expect:
            connection.sendall(b'{"blob": "' + b"A" * MIB)
        answer = http.client.HTTPResponse(connection, method="POST")
        answer.begin()
        assert answer.status == 413
        assert b"payload-too-large" in answer.read()


def test_a_client_that_sends_all_before_it_reads_sees_the_413(cnr: Cnr, package: str) -> None:
    body = b'{"blob": "' + b"A" * (70 * MIB) + b'"}'
    try:
        answer = cnr.post(f"/{package}", content=body)
    except httpx.WriteError:
        pytest.fail("the connection was closed before the answer could be read")
    assert answer.status_code == 413


def peak_mib(server: Server) -> int:
    """The most memory that the server's process ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) // 1024


@pytest.fixture
def roomy(new_server: NewServer) -> Iterator[tuple[Server, Cnr]]:
    """A server with limits of 500 MB."""
    limit = str(500 * MIB)
    names = ("CNR_MAX_JSON_BODY", "CNR_MAX_PACKAGE", "CNR_MAX_UNPACKED", "CNR_MAX_CHART_FILE")
    server = new_server(env=dict.fromkeys(names, limit))
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield server, Cnr(client, "")


@needs_files
def test_a_large_package_streams_through(roomy: tuple[Server, Cnr]) -> None:
    server, cnr = roomy
    blob = gz(tar({"app/noise": os.urandom(80 * MIB)}), 0)
    done(cnr.push("ns/large", blob=blob))
    assert done(cnr.show("ns/large"))["content"]["digest"] == tar_digest(blob)
    assert cnr.get("/ns/large/1.0.0/helm/pull").content == blob
    assert cnr.site("/api/v1/packages/ns/large/1.0.0/helm/pull/json", "HEAD").status_code == 200
    with cnr.http.stream("GET", "/api/v1/packages/ns/large/1.0.0/helm/pull/json") as answer:
        assert sum(len(chunk) for chunk in answer.iter_raw()) == int(answer.headers["content-length"])
    assert peak_mib(server) < 120  # one copy of the package more would pass it

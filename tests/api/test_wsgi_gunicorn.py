import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.services.ports import free_port

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# A body slower than the worker timeout of the servers that have one. CNR_TEST_SLOW_S=40 is the long form.
SLOW_S = float(os.environ.get("CNR_TEST_SLOW_S", "3"))
MIB = 1024 * 1024


@dataclass
class Gunicorn:
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def story(self) -> list[str]:
        return [line.rpartition(" ")[0] for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def wait_for(self, event: str) -> None:
        deadline = time.monotonic() + 60
        while event not in self.story():
            assert time.monotonic() < deadline, f"no {event!r} in {self.story()}"
            time.sleep(0.02)


def wait_until_open(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise AssertionError(f"gunicorn did not open its port, exit code {process.poll()}")


@contextmanager
def gunicorn(folder: Path, *options: str, module: str = "echo_app:app", **environ: str) -> Iterator[Gunicorn]:
    port, log = free_port(), folder / "story"
    command = [sys.executable, "-m", "gunicorn", module, "-b", f"127.0.0.1:{port}", "--pythonpath", str(HERE), *options]
    variables = {**os.environ, "ECHO_LOG": str(log), "WORKERS": "1", **environ}
    with (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stderr=stderr)
    try:
        wait_until_open(process, port)
        yield Gunicorn(process, port, log)
    finally:
        process.terminate()
        try:
            process.wait(30)
        finally:
            process.kill()
            process.wait()


KINDS = {
    "gthread": ("--timeout", "2"),
    "sync": ("-k", "sync"),
    "preload": ("--preload",),
}


@pytest.fixture(scope="module", params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gunicorn]:
    with gunicorn(tmp_path_factory.mktemp("gunicorn"), *KINDS[request.param]) as running:
        yield running


def expected(body: bytes) -> dict[str, object]:
    return {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}


@pytest.mark.parametrize("size", [0, 1, 100_000, 20 * MIB])
def test_bodies_arrive_whole(size: int, server: Gunicorn) -> None:
    body = os.urandom(size)
    assert httpx.post(f"{server.url}/echo", content=body).json() == expected(body)


@pytest.mark.parametrize("size", [0, 1, 100_000, 20 * MIB])
def test_chunked_bodies_arrive_whole(size: int, server: Gunicorn) -> None:
    body = os.urandom(size)
    pieces = (body[at : at + 77_777] for at in range(0, size, 77_777))
    assert httpx.post(f"{server.url}/echo", content=pieces).json() == expected(body)


def test_several_requests_over_one_connection(server: Gunicorn) -> None:
    with httpx.Client(base_url=server.url) as client:
        for number in range(20):
            body = os.urandom(number * 1000)
            assert client.post("/echo", content=body).json() == expected(body)
            assert client.head("/stream?n=3").content == b""
            assert len(client.get("/stream?n=3").content) == 3 * 65536


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_that_is_cut_off_is_never_taken_for_whole(framing: str, server: Gunicorn) -> None:
    head, body = "Content-Length: 1000", b"x" * 500
    if framing == "chunked":
        head, body = "Transfer-Encoding: chunked", b"1f4\r\n" + body + b"\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(f"POST /echo HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode() + body)
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert b"200 OK" not in answer
    assert httpx.post(f"{server.url}/echo", content=b"next").json() == expected(b"next")


def test_a_malformed_chunk_is_a_bad_request(server: Gunicorn) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 400 ")


def test_an_early_answer_reaches_a_client_that_still_sends(server: Gunicorn) -> None:
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: {500 * MIB}\r\n\r\n".encode())
        with suppress(BrokenPipeError, ConnectionResetError):
            while sent < 500 * MIB:
                sent += client.send(bytes(MIB))
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert sent < 60 * MIB


def test_what_the_application_sees(server: Gunicorn) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        request = (
            "GET /p%C3%A4/%2Fx%20y%FF?a=%20b HTTP/1.1\r\nHost: h:1\r\nX-A: 1\r\nX-A: 2\r\nConnection: close\r\n\r\n"
        )
        client.sendall(request.encode())
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    seen = json.loads(body)
    assert seen["path"] == "/pä//x y\ufffd"
    assert seen["raw_path"] == "/p%C3%A4/%2Fx%20y%FF"
    assert seen["query"] == "a=%20b"
    assert (seen["method"], seen["scheme"], seen["http_version"]) == ("GET", "http", "1.1")
    assert seen["headers"]["host"] == "h:1"
    assert seen["headers"]["x-a"].replace(" ", "") == "1,2"
    assert seen["client"][0] == "127.0.0.1"
    assert b"application/json" in head


def test_a_failure_is_a_500_and_the_next_request_is_served(server: Gunicorn) -> None:
    assert httpx.get(f"{server.url}/fail").status_code == 500
    assert httpx.post(f"{server.url}/echo").status_code == 200


def test_a_body_slower_than_the_worker_timeout_arrives(server: Gunicorn) -> None:
    def slowly() -> Iterator[bytes]:
        for _ in range(10):
            time.sleep(SLOW_S / 10)
            yield b"x" * 1000

    answer = httpx.post(f"{server.url}/echo", content=slowly(), timeout=SLOW_S + 30)
    assert answer.json()["size"] == 10_000


def test_a_long_answer_is_sent_no_faster_than_it_is_read_and_ends_with_the_client(server: Gunicorn) -> None:
    with httpx.stream("GET", f"{server.url}/stream?n=100000") as answer:
        next(answer.iter_raw())
    server.wait_for("stream closed")


def test_nothing_is_built_before_the_first_request(tmp_path: Path) -> None:
    for options in ((), ("--preload",)):
        with gunicorn(tmp_path, *options) as running:
            time.sleep(0.5)
            assert running.story() == []
            httpx.post(f"{running.url}/echo")
            assert running.story() == ["built", "started"]
        assert running.story() == ["built", "started", "stopped"]
        running.log.unlink()


def test_every_worker_has_its_own(tmp_path: Path) -> None:
    with gunicorn(tmp_path, "--preload", "-w", "3") as running:
        while len(set(running.log.read_text().splitlines() if running.log.exists() else [])) < 6:
            httpx.post(f"{running.url}/echo", content=b"x")
    lines = running.log.read_text().splitlines()
    assert len(lines) == len(set(lines)) == 9


def test_sigterm_lets_a_request_under_way_finish(tmp_path: Path) -> None:
    with gunicorn(tmp_path) as running, socket.create_connection(("127.0.0.1", running.port), timeout=30) as client:
        client.sendall(b"GET /sleep?s=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        running.wait_for("sleeping")
        running.process.send_signal(signal.SIGTERM)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert running.story()[-1] == "stopped"


def test_a_request_that_never_ends_does_not_keep_the_server_from_ending(tmp_path: Path) -> None:
    options = ("--graceful-timeout", "1")
    with gunicorn(tmp_path, *options) as running, socket.create_connection(("127.0.0.1", running.port)) as client:
        client.sendall(b"GET /sleep?s=3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        running.wait_for("sleeping")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_an_application_that_cannot_start_is_asked_again(tmp_path: Path) -> None:
    with gunicorn(tmp_path, ECHO_FAIL="yes") as running:
        assert [httpx.get(f"{running.url}/echo").status_code for _ in range(2)] == [500, 500]
        assert running.story() == ["built", "built"]
    assert "the store is closed today" in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize("options", [(), ("--preload",), ("-c", "/dev/null"), ("-c", "/dev/null", "--preload")])
def test_gunicorn_refuses_an_unknown_storage_with_one_sentence(
    options: tuple[str, ...], tmp_path: Path, run_to_end: Callable[..., "subprocess.CompletedProcess[str]"]
) -> None:
    done = run_to_end("-m", "gunicorn", "cnr.api.wsgi:app", "-b", "127.0.0.1:0", *options, STORAGE="floppy")
    assert done.returncode != 0
    assert "STORAGE is 'floppy': there is no such storage; use filesystem, redis, etcd or a URL." in done.stderr
    if "/dev/null" not in options:
        assert "Traceback" not in done.stderr

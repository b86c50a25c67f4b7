import hashlib
import os
import re
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

HERE = Path(__file__).parent
ECHO = [str(HERE / "serve_echo.py")]
CNR = ["-m", "cnr.cli.main", "serve"]
HALF_A_PUSH = (
    b"POST /v2/a/b/blobs/uploads/?digest=sha256:%b HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab"
    % hashlib.sha256(b"abcd").hexdigest().encode()
)
"""A request whose answer comes after its last two bytes, `cd`."""


def until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclass
class Serving:
    process: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def said(self) -> str:
        return (self.folder / "stderr").read_text()

    @property
    def port(self) -> int:
        found = re.search(r"https?://\S+:(\d+)", self.said)
        assert found is not None, self.said
        return int(found[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def story(self) -> list[str]:
        log = self.folder / "story"
        return [line.rpartition(" ")[0] for line in log.read_text().splitlines()] if log.exists() else []

    def workers(self) -> list[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return True
    return False


def alive(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


@contextmanager
def serving(folder: Path, program: list[str], *options: str, **environ: str) -> Iterator[Serving]:
    """The server, ready; its own variables are the test's alone. At the end it must stop by itself, with code 0."""
    own = {"HOST": "", "PORT": "0", "WORKERS": "2", "STORAGE": "", "DATABASE_URL": str(folder / "store")}
    variables = {**os.environ, **own, "ECHO_LOG": str(folder / "story"), **environ}
    with (folder / "stderr").open("wb") as stderr, (folder / "stdout").open("wb") as stdout:
        command = [sys.executable, *program, *options]
        process = subprocess.Popen(command, env=variables, stdout=stdout, stderr=stderr, start_new_session=True)
    running = Serving(process, folder)
    try:
        until(lambda: "Ctrl-C stops it." in running.said or process.poll() is not None, "no start")
        yield running
        if process.poll() is None:
            process.terminate()
        assert process.wait(30) == 0, running.said
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def ended(folder: Path, program: list[str], *options: str, **environ: str) -> tuple[int, str]:
    """Exit code and words of a server that does not start."""
    own = {"HOST": "", "PORT": "0", "WORKERS": "2", "STORAGE": "", "DATABASE_URL": str(folder / "store")}
    done = subprocess.run(
        [sys.executable, *program, *options],
        env={**os.environ, **own, "ECHO_LOG": str(folder / "story"), **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stderr


def test_says_where_it_listens_and_where_packages_are(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server:
        said = server.said
        assert f"http://127.0.0.1:{server.port} with 2 workers." in said
        assert f"{tmp_path / 'store'} (filesystem)" in said
        assert "Only this machine can reach it; --host 0.0.0.0 with --auth authenticated opens it" in said
        assert len(server.workers()) == 2
    with serving(tmp_path, ECHO, HOST="0.0.0.0", WORKERS="1", CNR_INSECURE_OPEN="true") as server:
        assert "with 1 worker." in server.said
        assert "Only this machine" not in server.said


def test_every_worker_serves(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server:
        answer = httpx.get(f"{server.url}/scope")
        assert answer.json()["path"] == "/scope"
        assert "server" not in answer.headers
        assert "date" in answer.headers
        sizes = [httpx.post(f"{server.url}/echo", content=bytes(size)).json()["size"] for size in (0, 1, 3_000_000)]
        assert sizes == [0, 1, 3_000_000]
        assert sorted(server.story()) == ["built", "built", "started", "started"]
    assert sorted(server.story()) == ["built", "built", "started", "started", "stopped", "stopped"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_under_way_is_finished(number: signal.Signals, tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server, server.connect() as client, server.connect() as idle:
        idle.sendall(b"GET /scope HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536)
        client.sendall(b"GET /sleep?s=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: "sleeping" in server.story(), "request did not arrive")
        workers = server.workers()
        os.killpg(server.process.pid, number)  # as a terminal does: parent and workers alike
        until(lambda: refused(server.port), "new connections are still taken")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(30) == 0
        assert not any(alive(pid) for pid in workers)
        assert server.story()[-2:] == ["stopped", "stopped"]


def test_a_request_that_never_ends_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO, WORKERS="1") as server, server.connect() as client:
        client.sendall(b"GET /sleep?s=3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: "sleeping" in server.story(), "request did not arrive")
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert server.story()[-1] == "stopped"


def test_a_push_that_is_cut_off_is_told_so(tmp_path: Path) -> None:
    head = b"POST /api/v1/packages/ns/app HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with serving(tmp_path, CNR, WORKERS="1") as server, server.connect() as client:
        client.sendall(head + b'{"blob": "' + b"A" * 200_000)
        assert httpx.get(f"{server.url}/healthz").status_code == 200  # so the one before it has been taken
        server.process.terminate()
        answer = client.recv(65536)
        assert server.process.wait(30) == 0
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"unavailable"' in answer
    assert "Traceback" not in server.said
    assert '"status":503' in (tmp_path / "stdout").read_text()


def test_a_second_ctrl_c_does_not_wait(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server, server.connect() as client:
        client.sendall(b"GET /sleep?s=3600 HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: "sleeping" in server.story(), "request did not arrive")
        server.process.send_signal(signal.SIGINT)
        until(lambda: "stopped" in server.story(), "the idle worker did not stop")
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
        assert server.story().count("stopped") == 1


def test_workers_stop_when_their_parent_is_killed(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server:
        workers = server.workers()
        server.process.kill()
        until(lambda: not any(alive(pid) for pid in workers), "workers live on")
        assert server.story()[-2:] == ["stopped", "stopped"]
        server.process.wait()
        server.process.returncode = 0


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server:
        before = server.workers()
        os.kill(before[0], signal.SIGKILL)
        until(lambda: server.story().count("started") == 3, "no new worker")
        assert before[1] in server.workers()
        assert "a worker was ended by SIGKILL; starting another" in server.said
        assert {httpx.get(f"{server.url}/scope").status_code for _ in range(10)} == {200}


def test_a_worker_that_fails_to_start_again_and_again_ends_the_server(tmp_path: Path) -> None:
    crash = tmp_path / "crash"
    with serving(tmp_path, ECHO, ECHO_CRASH=str(crash)) as server:
        crash.touch()
        os.kill(server.workers()[0], signal.SIGKILL)
        assert server.process.wait(60) == 1
        assert server.story().count("crashed") == 5
        assert server.said.rstrip().endswith("cnr: a worker ended with code 3 while it started")
        server.process.returncode = 0


def test_what_keeps_the_application_from_starting_is_said_once(tmp_path: Path) -> None:
    code, said = ended(tmp_path, ECHO, ECHO_FAIL="yes", WORKERS="4")
    assert code == 1
    assert said.count("the store is closed today") == 1
    assert (tmp_path / "story").read_text().count("built") == 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_that_is_taken(workers: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, said = ended(tmp_path, CNR, "--port", str(port), "--workers", workers)
        assert (code, said) == (1, f"cnr: cannot listen on 127.0.0.1:{port}: it is taken; choose another with --port\n")
    with serving(tmp_path, ECHO) as server:
        code, said = ended(tmp_path, CNR, "--port", str(server.port), "--workers", workers)
        assert (code, "it is taken" in said) == (1, True)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ["--storage", "floppy"],
            "--storage is 'floppy': there is no such storage; use filesystem, redis, etcd or a URL.",
        ),
        (["--host", "198.51.100.1", "--insecure-open"], "this machine has no such address; choose another with --host"),
        (["--workers", "none"], "--workers is 'none': use a number from 1 to 256."),
        (
            ["--access-log", "/nonexistent/log"],
            "/nonexistent/log cannot be used as the access log (CNR_ACCESS_LOG): No such file or directory",
        ),
        (["--spool", "/dev/null"], "/dev/null cannot be used as the spool (CNR_SPOOL): File exists"),
    ],
)
def test_a_mistake_is_one_sentence(options: list[str], reason: str, tmp_path: Path) -> None:
    code, said = ended(tmp_path, CNR, *options)
    assert code == 1
    assert said.startswith("cnr: ")
    assert said.endswith(f"{reason}\n")
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, said = ended(tmp_path, CNR, DATABASE_URL=str(tmp_path / "file" / "store"))
    assert code == 1
    assert str(tmp_path / "file") in said
    assert said.count("\n") == 1


def test_the_registry_itself(tmp_path: Path) -> None:
    with serving(tmp_path, CNR) as server:
        assert httpx.get(f"{server.url}/api/v1/packages").json() == []
        assert "cnr-api" in httpx.get(f"{server.url}/cnr/version").json()
    lines = (tmp_path / "stdout").read_text().splitlines()
    assert len(lines) == 2
    assert '"route":"/api/v1/packages"' in lines[0]


def test_an_idle_connection_is_kept_between_requests(tmp_path: Path) -> None:
    with serving(tmp_path, ECHO) as server, httpx.Client(base_url=server.url) as client:
        for number in range(5):
            assert client.post("/echo", content=bytes(number)).json()["size"] == number
            time.sleep(0.1)


def test_the_old_commands_options(tmp_path: Path) -> None:
    old = ("--db-class", "appr.models.kv.etcd.db:EtcdDB")
    code, said = ended(tmp_path, ["-m", "cnr.cli.main", "run-server"], *old, ETCD_HOST="127.0.0.1:1")
    assert (code, said) == (1, "cnr: etcd at 127.0.0.1:1 cannot be reached\n")
    opened = ("-b", "0.0.0.0", "-p", "0", "--insecure-open")
    with serving(tmp_path, ["-m", "cnr.cli.main", "run-server"], *opened) as server:
        assert "http://0.0.0.0:" in server.said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_open_server_is_for_this_machine_alone(tmp_path: Path, host: str) -> None:
    code, said = ended(tmp_path, ["-m", "cnr.cli.main", "serve"], "--host", host, "--port", "0")
    assert code == 1
    assert "without accounts they may change everything" in said
    assert "Traceback" not in said


def test_load_balancers_hear_of_the_end_before_it_comes(tmp_path: Path) -> None:
    with serving(tmp_path, CNR, WORKERS="2", CNR_DRAIN="3") as server, httpx.Client(base_url=server.url) as http:
        assert http.get("/readyz").status_code == 200
        server.process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{server.url}/readyz").status_code == 503, "/readyz never said 503")
        # Everything else goes on, on old connections and new ones.
        assert http.get("/api/v1/packages").status_code == 200
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        assert httpx.post(f"{server.url}/v2/a/b/blobs/uploads/").status_code == 202
        assert http.get("/readyz").json()["error"]["message"] == "this server is about to stop"
        assert server.process.wait(30) == 0
        assert refused(server.port)


def test_a_request_under_way_ends_and_its_connection_closes(tmp_path: Path) -> None:
    with serving(tmp_path, CNR, WORKERS="1") as server, server.connect() as line:
        line.sendall(HALF_A_PUSH)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refused(server.port), "new connections are still taken")
        line.sendall(b"cd")
        answer = line.recv(65536)
        assert answer.startswith(b"HTTP/1.1 201 ")
        assert b"connection: close" in answer.lower()
        assert line.recv(1) == b""

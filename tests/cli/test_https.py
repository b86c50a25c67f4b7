"""`cnr serve` over HTTPS: what is accepted, what is refused, and new certificates while it runs."""

import hashlib
import os
import resource
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from tests.cli.test_serve import CNR, HALF_A_PUSH, Serving, ended, refused, serving, until
from tests.services.certificates import Authority

MIB = 1 << 20


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@contextmanager
def https(folder: Path, authority: Authority, **environ: str) -> Iterator[Serving]:
    """A server with the certificate `first` at cert.pem and key.pem of its folder."""
    install(folder, authority, "first")
    files = {"CNR_TLS_CERT": str(folder / "cert.pem"), "CNR_TLS_KEY": str(folder / "key.pem")}
    with serving(folder, CNR, **{"WORKERS": "1", **files, **environ}) as server:
        yield server


def install(folder: Path, authority: Authority, name: str, *, kind: str = "ec") -> None:
    """Put a certificate where the server looks, as renewals do: a file at a time, each by a rename."""
    for file, place in zip(authority.issue(name, kind=kind), ("cert.pem", "key.pem"), strict=True):
        shutil.copy2(file, folder / f"{place}.new")
        os.replace(folder / f"{place}.new", folder / place)


def client(server: Serving, authority: Authority, host: str = "localhost") -> httpx.Client:
    trusted = ssl.create_default_context(cafile=str(authority.file))
    return httpx.Client(base_url=f"https://{host}:{server.port}", verify=trusted, timeout=60)


def subject(server: Serving, authority: Authority) -> str:
    trusted = ssl.create_default_context(cafile=str(authority.file))
    with trusted.wrap_socket(server.connect(), server_hostname="localhost") as line:
        found = line.getpeercert()
        assert found is not None
        return str(found["subject"][0][0][1])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_what_it_says_of_itself(tmp_path: Path, authority: Authority, host: str) -> None:
    with https(tmp_path, authority, CNR_HSTS="3600") as server, client(server, authority, host) as http:
        assert "listens on https://127.0.0.1:" in server.said
        answer = http.get("/")
        assert f"https://{host}:{server.port}/cnr/api/v1/packages" in answer.text
        assert answer.headers["strict-transport-security"] == "max-age=3600"


def test_hsts_is_said_only_when_it_is_wanted(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority) as server, client(server, authority) as http:
        assert "strict-transport-security" not in http.get("/").headers
        assert subject(server, authority) == "first"


def test_large_bodies_pass_both_ways_in_little_memory(tmp_path: Path, authority: Authority) -> None:
    size = 200 * MIB
    data = bytes(range(256)) * (size // 256)
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    with https(tmp_path, authority) as server, client(server, authority) as http:
        (worker,) = server.workers()
        before = peak(worker)
        pushed = http.post("/v2/a/b/blobs/uploads/", params={"digest": digest}, content=pieces(data))
        assert pushed.status_code == 201
        with http.stream("GET", f"/v2/a/b/blobs/{digest}") as answer:
            found = hashlib.sha256()
            for chunk in answer.iter_raw():
                found.update(chunk)
                time.sleep(0.0001)  # a client that is slower than the server
        assert f"sha256:{found.hexdigest()}" == digest
        assert peak(worker) - before < 100 * MIB


def pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), MIB):
        yield data[at : at + MIB]


def peak(pid: int) -> int:
    lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) * 1024


def test_an_early_answer_reaches_who_still_sends(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority, CNR_MAX_JSON_BODY="1MiB") as server, client(server, authority) as http:
        answer = http.post("/api/v1/packages/a/b", content=b"x" * 40 * MIB)
        assert answer.status_code == 413
        assert http.get("/healthz").status_code == 200


def test_what_is_under_way_ends_when_it_stops(tmp_path: Path, authority: Authority) -> None:
    trusted = ssl.create_default_context(cafile=str(authority.file))
    with https(tmp_path, authority) as server:
        with trusted.wrap_socket(server.connect(), server_hostname="localhost") as line:
            line.sendall(HALF_A_PUSH)
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: refused(server.port), "new connections are still taken")
            line.sendall(b"cd")
            assert line.recv(65536).startswith(b"HTTP/1.1 201 ")
            assert line.recv(1) == b""
        assert server.process.wait(30) == 0


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_who_speaks_no_tls_or_an_old_one_is_cut_off(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority) as server:
        with server.connect() as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in everything(line)
        old = ssl.create_default_context(cafile=str(authority.file))
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        old.minimum_version = ssl.TLSVersion.TLSv1
        with server.connect() as line, pytest.raises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(line, server_hostname="localhost")
        weak = ssl.create_default_context(cafile=str(authority.file))
        weak.maximum_version = ssl.TLSVersion.TLSv1_2
        weak.set_ciphers("AES128-SHA:AES256-SHA256:ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0")
        with server.connect() as line, pytest.raises((ssl.SSLError, ConnectionError)):
            weak.wrap_socket(line, server_hostname="localhost")
        assert subject(server, authority) == "first"


def everything(line: socket.socket) -> bytes:
    found = b""
    try:
        while data := line.recv(65536):
            found += data
    except ConnectionError:
        pass
    return found


def test_a_new_certificate_is_taken_over_and_open_connections_go_on(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority, WORKERS="2") as server, client(server, authority) as http:
        assert http.get("/healthz").status_code == 200
        install(tmp_path, authority, "second", kind="rsa")
        until(lambda: {subject(server, authority) for _ in range(6)} == {"second"}, "the old certificate stays")
        assert http.get("/healthz").status_code == 200


def test_broken_files_change_nothing_until_they_are_whole(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority) as server:
        _, key = authority.issue("other")
        shutil.copy2(key, tmp_path / "key.pem")
        until(lambda: "the old certificate stays in use" in server.said, "nothing was said")
        assert "does not belong to the first certificate" in server.said
        assert subject(server, authority) == "first"
        (tmp_path / "cert.pem").unlink()
        until(lambda: "No such file" in server.said, "nothing was said")
        assert subject(server, authority) == "first"
        install(tmp_path, authority, "third")
        until(lambda: subject(server, authority) == "third", "the old certificate stays")
        assert "Traceback" not in server.said


def test_a_key_that_everybody_can_read_is_told(tmp_path: Path, authority: Authority) -> None:
    with https(tmp_path, authority) as server:
        assert "can read the key" not in server.said
        (tmp_path / "key.pem").chmod(0o644)
        os.utime(tmp_path / "key.pem", (1, 1))
        until(lambda: "can read the key" in server.said, "nothing was said")


@pytest.mark.parametrize(
    ("cert", "key", "said"),
    [
        ("first.pem", "other.key", "does not belong to the first certificate"),
        ("first.pem", "rsa.key", "does not belong to the first certificate"),
        ("first.key", "first.key", "there is no certificate in"),
        ("first.pem", "first.pem", "there is no key in"),
        ("first.pem", "missing.key", "cannot be read: No such file or directory"),
        ("missing.pem", "first.key", "cannot be read: No such file or directory"),
        ("first.pem", "locked.key", "is encrypted; a server needs one that is not"),
        ("first.pem", "damaged.key", "cannot be used"),
        ("", "first.key", "CNR_TLS_KEY is set, and CNR_TLS_CERT is not"),
        ("first.pem", "", "there is no key in"),
    ],
)
def test_files_that_cannot_be_used_are_a_sentence(
    tmp_path: Path, authority: Authority, cert: str, key: str, said: str
) -> None:
    authority.issue("first")
    authority.issue("other")
    authority.issue("rsa", kind="rsa")
    authority.encrypted("locked")
    folder = authority.file.parent
    (folder / "damaged.key").write_text((folder / "first.key").read_text().replace("a", "b"))
    options = [
        *(("--tls-cert", str(folder / cert)) if cert else ()),
        *(("--tls-key", str(folder / key)) if key else ()),
    ]
    code, told = ended(tmp_path, CNR, "--port", "0", "--workers", "1", *options)
    assert code == 1
    assert said in told
    assert "Traceback" not in told
    assert told.count("\n") == 1


def test_many_handshakes_that_never_end_keep_nobody_out(tmp_path: Path, authority: Authority) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with https(tmp_path, authority) as server:
            with ExitStack() as stack:
                lines = [stack.enter_context(server.connect()) for _ in range(200)]
                for line in lines:
                    line.sendall(b"\x16\x03\x01")
                with client(server, authority) as http:
                    assert http.get("/healthz").status_code == 200
                assert [everything(line) for line in lines] == [b""] * 200  # the server closes them
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

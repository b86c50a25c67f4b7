"""Whatever goes wrong: one sentence on standard error, a documented exit code, nothing kept, no traceback."""

import errno
import gzip
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
import pytest

from cnr.cli import failures
from cnr.cli.failures import EXIT_CODES, exit_code, sentence
from cnr.client import errors as client_errors
from cnr.domain import errors as domain_errors

Run = Callable[..., Any]
MakeChart = Callable[..., Path]
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"
DIGEST = "0" * 64


class Impostor(ThreadingHTTPServer):
    """Answers GET and POST by path: `answers` has (status, content type, body, Content-Length or None for its size)."""

    answers: dict[str, tuple[int, str, bytes, int | None]]
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers = {}

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_port}"

    def says(self, path: str, body: str | bytes, *, status: int = 200, length: int | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.answers[path] = (status, "application/json", content, length)


class _Handler(BaseHTTPRequestHandler):
    server: Impostor

    def do_GET(self) -> None:
        status, kind, body, length = self.server.answers.get(self.path, (404, "text/html", b"<html>", None))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def impostor() -> Iterator[Impostor]:
    with Impostor() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def manifest(release: str = "1.0.0", digest: str = DIGEST, size: int = 4) -> str:
    return (
        f'{{"package":"ns/app","release":"{release}","created_at":"x","channels":[],'
        f'"mediaType":"application/vnd.cnr.package-manifest.helm.v1.json","content":{{"digest":"{digest}","size":{size}}}}}'
    )


SHOW = "/cnr/api/v1/packages/ns/app/default/-"
BLOB = f"/cnr/api/v1/packages/ns/app/blobs/sha256/{DIGEST}"


def assert_failed(outcome: Any, code: int, words: str) -> None:
    assert outcome.code == code, outcome.err
    assert words in outcome.err
    assert outcome.out == ""
    assert outcome.err.startswith("cnr: ")
    assert outcome.err.count("\n") == 1
    assert outcome.err.rstrip("\n").isprintable()


def test_nobody_answers(cnr: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert_failed(cnr("list", f"127.0.0.1:{port}"), 6, "cannot be reached: Connection refused")


def test_an_unknown_host(cnr: Run) -> None:
    assert_failed(cnr("list", "http://registry.invalid"), 6, "registry.invalid cannot be reached")


def test_html_is_no_registry(cnr: Run, impostor: Impostor) -> None:
    assert_failed(cnr("list", impostor.host), 1, "answered 404 with text/html, not as an app registry does")


def test_tls_to_a_server_without_it(cnr: Run, impostor: Impostor) -> None:
    assert_failed(cnr("list", f"https://{impostor.host}"), 6, f"does not speak TLS: write http://{impostor.host}")


def test_a_server_of_2016_without_the_prefix(cnr: Run, impostor: Impostor, monkeypatch: pytest.MonkeyPatch) -> None:
    impostor.says("/api/v1/packages", "[]")
    assert cnr("list", impostor.host).code == 1
    for prefix, code in (("", 0), ("/", 0), ("old", 1)):
        monkeypatch.setenv("APPR_URL_PREFIX", prefix)
        assert cnr("list", impostor.host).code == code
    impostor.says("/old/api/v1/packages", "[]")
    assert cnr("list", impostor.host).code == 0


@pytest.mark.parametrize(
    ("answers", "code", "words"),
    [
        ({SHOW: manifest()}, 1, "not as an app registry does"),
        ({SHOW: manifest(), BLOB: "1234"}, 7, "gzip"),
        ({SHOW: manifest(), BLOB: "123"}, 7, "sent 3 bytes of ns/app instead of 4"),
        ({SHOW: manifest(), BLOB: "12345"}, 7, "more than the 4 bytes"),
        ({SHOW: manifest(release="../../escaped")}, 1, "names a release or digest that is none"),
        ({SHOW: manifest(digest="../../escaped")}, 1, "names a release or digest that is none"),
        ({SHOW: manifest(size=-1), BLOB: "1234"}, 7, "more than the -1 bytes"),
        ({SHOW: '{"error":{"code":"x","message":"a\\u001b[31m\\nb","details":{}}}'}, 1, "not as an app registry does"),
    ],
)
def test_a_registry_that_lies(
    cnr: Run, impostor: Impostor, tmp_path: Path, answers: dict[str, str], code: int, words: str
) -> None:
    for path, body in answers.items():
        impostor.says(path, body)
    assert_failed(cnr("pull", f"{impostor.host}/ns/app"), code, words)
    assert_failed(cnr("pull", f"{impostor.host}/ns/app", "--tarball"), code, words)
    assert list(tmp_path.iterdir()) == []


def test_other_bytes_than_the_digest_says(cnr: Run, impostor: Impostor, tmp_path: Path) -> None:
    packed = gzip.compress(b"x" * 1024)
    impostor.says(SHOW, manifest(size=len(packed)))
    impostor.says(BLOB, packed)
    for words in ([], ["--tarball"]):
        assert_failed(cnr("pull", f"{impostor.host}/ns/app", *words), 7, "sent other bytes: their digest is")
    assert_failed(cnr("inspect", f"{impostor.host}/ns/app"), 7, "sent other bytes")
    assert list(tmp_path.iterdir()) == []


def test_a_download_that_is_cut_off(cnr: Run, impostor: Impostor, tmp_path: Path) -> None:
    impostor.says(SHOW, manifest(size=100))
    impostor.says(BLOB, b"1234", length=100)
    assert_failed(cnr("pull", f"{impostor.host}/ns/app"), 6, "broke off the connection")
    assert list(tmp_path.iterdir()) == []


def test_messages_of_a_server_cannot_steer_the_terminal(cnr: Run, impostor: Impostor) -> None:
    impostor.says(SHOW, '{"error":{"code":"x","message":"a\\u001b[31m\\nb\\u202e","details":{}}}', status=404)
    assert_failed(cnr("pull", f"{impostor.host}/ns/app"), 3, "a\\x1b[31m b\\u202e")


def test_lists_of_a_server_cannot_steer_the_terminal(cnr: Run, impostor: Impostor) -> None:
    impostor.says(
        "/cnr/api/v1/packages",
        '[{"name":"a/b\\u001b]0;x\\u0007","default":"1\\n2","manifests":["h\\u009b"],"releases":[]}]',
    )
    for output in ("text", "json", "yaml"):
        listed = cnr("list", impostor.host, "--output", output)
        assert listed.code == 0
        assert all(line.isprintable() for line in listed.out.splitlines())
    assert "a/b\\x1b]0;x\\x07" in cnr("list", impostor.host).out


def test_a_password_in_an_address_is_refused_and_not_shown(cnr: Run) -> None:
    refused = cnr("list", "https://user:secret@quay.io")
    assert_failed(refused, 2, "CNR_TOKEN")
    assert "secret" not in refused.err


def test_the_token_is_sent_and_never_shown(cnr: Run, impostor: Impostor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNR_TOKEN", "basic \x07secret")
    refused = cnr("list", impostor.host)
    assert_failed(refused, 1, "CNR_TOKEN")
    assert "secret" not in refused.err


def test_a_certificate_file_that_is_missing(cnr: Run, impostor: Impostor) -> None:
    assert_failed(cnr("list", impostor.host, "--cacert", "missing.pem"), 1, "certificate file missing.pem")


def test_denied(cnr: Run, impostor: Impostor) -> None:
    body = '{"error":{"code":"forbidden","message":"you may not","details":{}}}'
    for status in (401, 403):
        impostor.says("/cnr/api/v1/packages", body, status=status)
        assert_failed(cnr("list", impostor.host), 5, "you may not")


def test_a_full_disk_is_a_sentence(cnr: Run, home: str, chart: MakeChart) -> None:
    assert cnr("push", chart(), home).code == 0
    full = Path("/dev/full")
    assert full.is_char_device()
    done = run_cnr("list", home, stdout=os.open(full, os.O_WRONLY))
    assert (done.returncode, done.stderr) == (1, "cnr: no space is left on the disk\n")


def test_an_unwritable_destination(cnr: Run, home: str, chart: MakeChart, tmp_path: Path) -> None:
    assert cnr("push", chart(), home).code == 0
    (tmp_path / "file").write_text("")
    assert_failed(cnr("pull", f"{home}/app", "--dest", "file"), 2, "is a file")


def run_cnr(*words: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    defaults = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.run([sys.executable, "-m", "cnr.cli.main", *words], check=False, **(defaults | options))


def test_exit_codes_reach_the_shell(registry: str) -> None:
    assert run_cnr("list", registry).returncode == 0
    missing = run_cnr("show", f"{registry}/no/such")
    assert missing.returncode == 3
    assert "Traceback" not in missing.stderr


def test_a_reader_that_went_away(registry: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = run_cnr("list", registry, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        words = [sys.executable, "-m", "cnr.cli.main", "pull", f"127.0.0.1:{silent.getsockname()[1]}/ns/app"]
        with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate()
    assert (process.returncode, err) == (130, b"cnr: interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_foresaw_is_one_sentence() -> None:
    assert exit_code(ZeroDivisionError("x\ny")) == 1
    assert sentence(ZeroDivisionError("x\ny")) == "unexpected ZeroDivisionError: x y (CNR_DEBUG=1 shows where)"


@pytest.mark.parametrize(
    ("exc", "text"),
    [
        (OSError(errno.ENOSPC, "No space", "f"), "no space is left on the disk: f"),
        (PermissionError(errno.EACCES, "Permission denied", "f"), "Permission denied: f"),
        (click.ClickException("message"), "message"),
        (click.Abort(), "interrupted"),
        (failures.Interrupted(), "interrupted"),
    ],
)
def test_sentences(exc: BaseException, text: str) -> None:
    assert sentence(exc) == text


def leaves(kind: type[BaseException]) -> set[type[BaseException]]:
    return {kind} | {leaf for child in kind.__subclasses__() for leaf in leaves(child)}


def test_every_error_of_ours_has_a_code() -> None:
    for kind in leaves(client_errors.ClientError) | leaves(domain_errors.CnrError):
        assert any(base in EXIT_CODES for base in kind.__mro__), kind


def test_every_code_is_documented() -> None:
    text = DOCS.read_text()
    codes = {value for name, value in vars(failures).items() if name.isupper() and isinstance(value, int)}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert documented == codes == {0, failures.INCOMPLETE, *EXIT_CODES.values()}

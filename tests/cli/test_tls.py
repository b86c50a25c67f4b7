"""Certificates: not trusted by default, trusted with --cacert, ignored with -k."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that refuses our certificate ends the handshake, which is what is tested."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a key and a self-signed certificate for localhost."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*words.split(), "-keyout", "key", "-out", "cert"], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


@pytest.fixture
def server(certificate: Path) -> Iterator[str]:
    """An HTTPS server with that certificate, whose only package list is empty: its address."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"https://localhost:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_strange_certificate_is_refused(cnr: Run, server: str) -> None:
    refused = cnr("list", server)
    assert refused.code == 6
    assert refused.err.startswith(f"cnr: the certificate of {server.removeprefix('https://')} cannot be trusted (")
    assert refused.err.endswith("give its authority with --cacert, or -k\n")


def test_an_authority_may_be_given(cnr: Run, server: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cnr("list", server, "--cacert", certificate).code == 0
    monkeypatch.setenv("APPR_CA_BUNDLES", str(certificate))
    assert cnr("list", server).code == 0


def test_the_name_still_has_to_match(cnr: Run, server: str, certificate: Path) -> None:
    refused = cnr("list", server.replace("localhost", "127.0.0.1"), "--cacert", certificate)
    assert refused.code == 6
    assert "cannot be trusted" in refused.err


def test_verification_can_be_switched_off(cnr: Run, server: str) -> None:
    for option in ("-k", "--insecure"):
        listed = cnr("list", server, option)
        assert (listed.code, listed.err) == (0, "")

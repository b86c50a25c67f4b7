"""A proxy that plays all hosts of the internet, by http and by TLS, and tells what came to each."""

import shutil
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

Answer = Callable[["Handler"], None]


class Internet:
    """`asked`: URL without query, and Authorization. `pages`: what a URL without query answers; others are 404."""

    def __init__(self, certificate: Path) -> None:
        self.pages: dict[str, Answer] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.address = ""
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)

    def shown(self) -> set[tuple[str, str]]:
        """Who got an Authorization header, and which."""
        return {(url, header) for url, header in self.asked if header is not None}

    def urls(self) -> list[str]:
        return [url for url, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    internet: Internet
    tunnel = ""

    def do_CONNECT(self) -> None:
        self.tunnel = "https://" + self.path.removesuffix(":443")
        self.send_response(200)
        self.end_headers()
        self.connection = self.internet.tls.wrap_socket(self.connection, server_side=True)
        for plain in (self.rfile, self.wfile):
            plain.close()
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        if self.tunnel:
            self.connection.close()

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.tunnel + self.path)._replace(query="").geturl()
        self.internet.asked.append((url, self.headers.get("Authorization")))
        self.internet.pages.get(url, _missing)(self)

    do_GET = do_POST = do_HEAD = _serve

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content_Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _missing(handler: Handler) -> None:
    handler.answer(404)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go are no matter."""


def made_certificate(folder: Path) -> Path:
    """A file with a key and a certificate that nobody trusts."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=everybody"
    subprocess.run([*words.split(), "-keyout", "key", "-out", "cert"], cwd=folder, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return both


@contextmanager
def internet(certificate: Path) -> Iterator[Internet]:
    found = Internet(certificate)
    with _Server(("127.0.0.1", 0), type("Bound", (Handler,), {"internet": found})) as server:
        found.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            server.shutdown()
            thread.join()

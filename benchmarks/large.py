"""A CNR push of 500 MB: refused by default with a 413 that the client sees; with the limits raised it streams through.

Bars: the 413 arrives without all of the body being read; a worker stays under 200 MiB while the package goes in and
out.
"""

import base64
import gzip
import hashlib
import io
import os
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from servers import cnr, memory_mib

SIZE = 500_000_000
RAISED = {name: str(1 << 30) for name in ("CNR_MAX_JSON_BODY", "CNR_MAX_PACKAGE", "CNR_MAX_UNPACKED")}


def main() -> None:
    """Measure both and print."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        archive = _archive(folder / "large.tar.gz")
        with cnr(folder) as (address, _):
            status, sent = refused(address, 4 * archive.stat().st_size // 3)
            print(
                f"by default: status {status} after {sent / 1e6:.0f} of {archive.stat().st_size * 4 / 3e6:.0f} MB sent"
            )
        with cnr(folder, workers=1, **RAISED) as (address, pid):
            watch = Watch(pid)
            begun = time.monotonic()
            answer = httpx.post(f"{address}/api/v1/packages/big/one", content=_body(archive), timeout=600)
            pushed = time.monotonic()
            print(f"raised: status {answer.status_code}, pushed in {pushed - begun:.1f} s")
            same = _pull(f"{address}/api/v1/packages/big/one/1.0.0/kpm/pull") == _sha256(archive)
            print(f"pulled in {time.monotonic() - pushed:.1f} s, {'the same bytes' if same else 'OTHER BYTES'}")
            print(f"largest resident memory of the worker: {watch.stop():.0f} MiB  bar 200")


def refused(address: str, length: int) -> tuple[int, int]:
    """Send a body of `length` with a plain socket until an answer comes: its status, and how many bytes had gone."""
    host, _, port = address.removeprefix("http://").partition(":")
    sent = 0
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(f"POST /api/v1/packages/big/one HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
        sock.setblocking(False)
        piece = b'{"blob":"' + b"A" * 65536
        while sent < length:
            try:
                return int(sock.recv(4096).split()[1]), sent
            except BlockingIOError:
                pass
            try:
                sent += sock.send(piece)
            except BlockingIOError:
                time.sleep(0.001)
    return 0, sent


class Watch:
    """Samples the memory of a server every 50 ms."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._most = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self._most = max(self._most, memory_mib(self._pid))

    def stop(self) -> float:
        """The most that was seen, in MiB."""
        self._ended.set()
        self._thread.join()
        return self._most


def _archive(path: Path) -> Path:
    noise = os.urandom(1 << 20)
    with gzip.open(path, "wb", compresslevel=0) as out, tarfile.open(fileobj=out, mode="w|") as tar:
        for number in range(SIZE // len(noise)):
            member = tarfile.TarInfo(f"data{number}")
            member.size = len(noise)
            tar.addfile(member, io.BytesIO(noise))
    return path


def _body(archive: Path) -> Iterator[bytes]:
    yield b'{"release":"1.0.0","media_type":"kpm","blob":"'
    with archive.open("rb") as source:
        while piece := source.read(3 << 18):
            yield base64.b64encode(piece)
    yield b'"}'


def _pull(url: str) -> str:
    running = hashlib.sha256()
    with httpx.stream("GET", url, timeout=600) as answer:
        for piece in answer.iter_bytes():
            running.update(piece)
    return running.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


if __name__ == "__main__":
    main()

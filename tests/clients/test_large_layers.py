"""Layers of 500 MB go in and out whole, in little memory."""

import gzip
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.clients.images import LAYER, Layout
from tests.clients.program import Program
from tests.protocols.cnr.server import Server

MIB: Final = 1 << 20
LAYER_BYTES: Final = 500_000_000
MEMORY_MIB: Final = 200
"""The most that a process of the server may ever have had."""


@dataclass(frozen=True)
class Site:
    """A server with an empty store, and a folder with one layer in it; both are deleted after the test."""

    server: Server
    folder: Path
    layer: Path
    digest: str

    @property
    def host(self) -> str:
        return self.server.url.removeprefix("http://")


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Site]:
    server = Server(tmp_path / "server", entry="serve", workers=2)
    try:
        layer = tmp_path / "layer.tar.gz"
        digest = noise(layer)
        yield Site(server.start(), tmp_path, layer, digest)
    finally:
        server.kill()
        for each in tmp_path.iterdir():
            shutil.rmtree(each) if each.is_dir() else each.unlink()


def noise(target: Path) -> str:
    """Write random data as a gzip that is quick to make; its digest."""
    with gzip.open(target, "wb", compresslevel=0) as file:
        for _ in range(LAYER_BYTES // MIB):
            file.write(os.urandom(MIB))
    return digest_of(target)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peaks_mib(server: Server) -> dict[int, int]:
    """The most memory that each of the server's processes ever had, by process id."""
    group = server.process.pid
    found = {}
    for each in Path("/proc").glob("[0-9]*"):
        try:
            # Behind the command's name in brackets: state, parent, process group.
            if int((each / "stat").read_text().rpartition(")")[2].split()[2]) == group:
                status = (each / "status").read_text()
                found[int(each.name)] = next(
                    int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmHWM:")
                )
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def image_of(layout: Layout, layer: Path, digest: str) -> None:
    """Make the image `big` with this layer, which is linked and not copied."""
    image = layout.image()
    os.link(layer, layout.folder / "blobs" / "sha256" / digest)
    descriptor: dict[str, Any] = {"mediaType": LAYER, "digest": f"sha256:{digest}", "size": layer.stat().st_size}
    layout.name("big", layout.with_layers(image, descriptor))


def test_a_layer_of_500_mb(large: Site, oras: Program, skopeo: Program) -> None:
    """oras sends it in one request, skopeo as a stream of unknown length."""
    oras("push", "--plain-http", f"{large.host}/big/file:v1", large.layer.name)
    oras("pull", "--plain-http", f"{large.host}/big/file:v1", "--output", "got")
    assert digest_of(large.folder / "got" / large.layer.name) == large.digest
    shutil.rmtree(large.folder / "got")

    image_of(Layout(large.folder / "layout"), large.layer, large.digest)
    skopeo("copy", "--dest-tls-verify=false", "oci:layout:big", f"docker://{large.host}/big/image:v1")
    skopeo("copy", "--src-tls-verify=false", f"docker://{large.host}/big/image:v1", "dir:back")
    assert digest_of(large.folder / "back" / large.digest) == large.digest

    peaks = peaks_mib(large.server)
    assert len(peaks) >= 3, "a parent and two workers"
    assert max(peaks.values()) < MEMORY_MIB, peaks

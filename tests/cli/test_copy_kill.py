"""A copy that is killed leaves no tag on something that is not whole, and goes on when it is started again."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest
from tests.cli.misbehaving import Handler, Misbehaving, misbehaving
from tests.cli.oci_repository import OciRepository, digest_of, index

LONG = bool(os.environ.get("CNR_LONG"))
KIB = 1024
MIB = 1024 * KIB
LAYER_BYTES = 300 * MIB
MEMORY_BYTES = 60 * MIB
"""What a large layer may cost more than a small one."""


def start(words: Sequence[object]) -> "subprocess.Popen[bytes]":
    command = (sys.executable, "-m", "cnr.cli.main", "copy", *map(str, words))
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


@pytest.fixture
def target() -> Iterator[Misbehaving]:
    """A registry in memory, which behaves."""
    with misbehaving() as registry:
        yield registry


@pytest.fixture
def source(home: str) -> OciRepository:
    """Two tags: an index of two images with a signature on it, and an image."""
    repository = OciRepository(f"{home}/source")
    children = [repository.image(name.encode(), b"shared") for name in ("amd", "arm")]
    repository.manifest(index(*children), "all")
    repository.referrer(index(*children), "application/vnd.example.signature", b"signed")
    repository.image(b"single", tag="one")
    return repository


def whole(registry: Misbehaving, data: bytes) -> bool:
    """Whether all that a manifest names is there."""
    manifest = json.loads(data)
    blobs = [each for each in (manifest.get("config"), *manifest.get("layers", [])) if each]
    children = [registry.manifests.get(each["digest"]) for each in manifest.get("manifests", [])]
    return all(each["digest"] in registry.blobs for each in blobs) and all(
        child is not None and whole(registry, child) for child in children
    )


def copy(source: OciRepository, target: Misbehaving, *, kill_at: int | None = None) -> int:
    """Copies all, with a SIGKILL at request number `kill_at` of the target. Returns the number of its requests."""
    seen = [0]
    process = start(["--all", "-r", source.address, target.address])

    def gate(handler: Handler) -> bool:
        seen[0] += 1
        if seen[0] == kill_at:
            os.kill(process.pid, signal.SIGKILL)
        return False

    target.gate = gate
    _, said = process.communicate(timeout=120)
    target.answering.wait_for_none()  # what a killed client has sent may still be on its way into the registry
    assert process.returncode == (0 if kill_at is None else -signal.SIGKILL), said
    return seen[0]


def test_kill_at_any_request(source: OciRepository, target: Misbehaving) -> None:
    total = copy(source, target)
    manifests, blobs = dict(target.manifests), dict(target.blobs)
    assert {"all", "one"} <= set(manifests)
    for kill_at in range(2, total, 1 if LONG else 5):
        target.manifests.clear()
        target.blobs.clear()
        copy(source, target, kill_at=kill_at)
        assert all(whole(target, data) for data in target.manifests.values())
        kept = len(target.blobs)
        target.uploads.clear()
        copy(source, target)
        assert (target.manifests, target.blobs) == (manifests, blobs)
        sent = [data for data in target.uploads if digest_of(data) in blobs]
        assert len(sent) <= len(blobs) - kept


def test_a_large_layer_is_never_in_memory(home: str, second: str) -> None:
    source = OciRepository(f"{home}/large")
    piece = os.urandom(MIB)
    source.image(piece, tag="small")
    source.image(piece * (LAYER_BYTES // MIB), tag="large")
    target = f"{second}/{home.partition('/')[2]}/large"
    small = peak_bytes(f"{source.address}:small", target)
    large = peak_bytes(f"{source.address}:large", target)
    assert large - small < MEMORY_BYTES
    assert OciRepository(target).get("large") == source.get("large")


_MEASURED = """
import re, sys
from cnr.cli.main import main
code = main(sys.argv[1:])
print(re.search("VmHWM:\\s+([0-9]+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
sys.exit(code)
"""


def peak_bytes(source: str, target: str) -> int:
    """The most memory that a copy had. (ru_maxrss would begin with that of the process which starts it.)"""
    words = (sys.executable, "-c", _MEASURED, "copy", source, target)
    done = subprocess.run(words, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr
    return int(done.stderr.split()[-1]) * KIB

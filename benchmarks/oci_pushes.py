"""Small artifact pushes over the OCI API from 8 clients, and 100-MB layers from 2, against distribution v3.

Bars, as ratios to distribution in the same run: small pushes (a layer of 4 KiB, a config, a manifest by tag: five
requests) 2.5, large layers 1.0. Both servers fsync.
"""

import hashlib
import os
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from artifacts import digest_of, noise, put_blob
from servers import cnr, distribution
from wrk import rate

CLIENTS = 8
PUSHES = 16_000
SECONDS = 8
LAYER = 4096
LARGE = 100_000_000
LARGE_LAYERS = 8
HERE = Path(__file__).parent


def main() -> None:
    """Measure both and print."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        os.environ["LAYERS"] = str(layers(folder / "layers"))
        os.environ["LAYER"] = str(LAYER)
        with cnr(folder) as (address, _):
            ours, our_bytes = small(address), large(address)
        with distribution(folder) as (address, _):
            theirs, their_bytes = small(address), large(address)
    report("small pushes/s", ours, theirs, 2.5)
    report("100-MB layers, MB/s", our_bytes / 1e6, their_bytes / 1e6, 1.0)


def report(name: str, ours: float, theirs: float, bar: float) -> None:
    """One line."""
    verdict = "met" if ours >= bar * theirs else "MISSED"
    print(f"{name:<20} {ours:>8,.0f}  distribution {theirs:>8,.0f}  {ours / theirs:5.2f}  bar {bar:g}: {verdict}")


def small(address: str) -> float:
    """Pushes a second, five requests each."""
    script = HERE / "oci_push.lua"
    return rate(address, seconds=SECONDS, threads=CLIENTS, connections=CLIENTS, script=script) / 5


def large(address: str) -> float:
    """Bytes a second of layers that two clients push at the same time."""
    seeds = [b"layer%d" % number for number in range(LARGE_LAYERS)]
    digests = [_digest(seed) for seed in seeds]
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as clients:
        list(clients.map(lambda each: _push(address, *each), zip(seeds, digests, strict=True)))
    return LARGE * LARGE_LAYERS / (time.monotonic() - begun)


def _push(address: str, seed: bytes, digest: str) -> None:
    with httpx.Client(base_url=address, timeout=120) as http:
        put_blob(http, "bench/large", digest, noise(LARGE, seed), LARGE)


def _digest(seed: bytes) -> str:
    running = hashlib.sha256()
    for piece in noise(LARGE, seed):
        running.update(piece)
    return f"sha256:{running.hexdigest()}"


def layers(path: Path) -> Path:
    """The file that oci_push.lua reads."""
    with path.open("w") as out:
        out.writelines(_lines())
    return path


def _lines() -> Iterator[str]:
    for number in range(PUSHES):
        text = f"{number:016d}"
        config = b'{"n":"%b"}' % text.encode()
        yield f"{text} {digest_of(text.ljust(LAYER, 'x').encode())} {digest_of(config)}\n"


if __name__ == "__main__":
    main()

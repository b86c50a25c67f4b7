"""A layer of 5 GB over the OCI API, in by one streamed PATCH and out by GET. Bar: a worker stays under 200 MiB."""

import hashlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from artifacts import noise
from large import Watch
from servers import cnr

SIZE = 5_000_000_000


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder) as (address, pid), httpx.Client(base_url=address, timeout=600) as http:
            watch = Watch(pid)
            begun = time.monotonic()
            digest = push(http)
            pushed = time.monotonic()
            print(f"in:  {SIZE / 1e6 / (pushed - begun):>5,.0f} MB/s")
            same = pull(http, digest) == digest
            print(
                f"out: {SIZE / 1e6 / (time.monotonic() - pushed):>5,.0f} MB/s, {'the same' if same else 'OTHER'} bytes"
            )
            print(f"largest resident memory of a worker: {watch.stop():.0f} MiB  bar 200")


def push(http: httpx.Client) -> str:
    """Stream the layer in, as docker and crane do; returns its digest."""
    running = hashlib.sha256()

    def pieces() -> Iterator[bytes]:
        for piece in noise(SIZE, b"large"):
            running.update(piece)
            yield piece

    where = http.post("/v2/bench/large/blobs/uploads/").raise_for_status().headers["location"]
    where = http.patch(where, content=pieces()).raise_for_status().headers["location"]
    digest = f"sha256:{running.hexdigest()}"
    http.put(f"{where}?digest={digest}").raise_for_status()
    return digest


def pull(http: httpx.Client, digest: str) -> str:
    """The digest of what comes out."""
    running = hashlib.sha256()
    with http.stream("GET", f"/v2/bench/large/blobs/{digest}") as answer:
        for piece in answer.raise_for_status().iter_bytes(1 << 20):
            running.update(piece)
    return f"sha256:{running.hexdigest()}"


if __name__ == "__main__":
    main()

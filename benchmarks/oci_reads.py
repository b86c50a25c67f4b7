"""GET of a manifest by tag and of blobs over the OCI API, against distribution v3 in one run.

Bars, as ratios to distribution: manifest 3, blob of 4 KiB 12, of 100 KB 8, of 10 MB 1.
"""

import os
import tempfile
from pathlib import Path

import httpx
from artifacts import OCI, put_manifest, upload
from servers import cnr, distribution
from wrk import warm_rate

BARS = {"manifest by tag": 3.0, "blob of 4 KiB": 12.0, "blob of 100 KB": 8.0, "blob of 10 MB": 1.0}
SIZES = {"blob of 4 KiB": 4096, "blob of 100 KB": 100_000, "blob of 10 MB": 10_000_000}


def main() -> None:
    """Measure and print a table."""
    data = {name: os.urandom(size) for name, size in SIZES.items()}
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder) as (ours, _), distribution(folder) as (peer, _):
            places, peers = fill(ours, data), fill(peer, data)
            for name, bar in BARS.items():
                theirs, found = warm_rate(peers[name], accept=OCI), warm_rate(places[name], accept=OCI)
                verdict = "met" if found >= bar * theirs else "MISSED"
                ratio = found / theirs
                print(
                    f"{name:<16} {found:>8,.0f}/s  distribution {theirs:>8,.0f}/s  {ratio:6.2f}  bar {bar:g}: {verdict}"
                )


def fill(address: str, data: dict[str, bytes]) -> dict[str, str]:
    """Push one artifact with all blobs; returns where the manifest and each blob is read."""
    base = f"{address}/v2/bench/reads"
    with httpx.Client(base_url=address, timeout=60) as http:
        upload(http, "bench/reads", b"{}")
        layers = {name: upload(http, "bench/reads", each) for name, each in data.items()}
        put_manifest(http, "bench/reads", "one", list(layers.values()))
    blobs = {name: f"{base}/blobs/{layer['digest']}" for name, layer in layers.items()}
    return {"manifest by tag": f"{base}/manifests/one", **blobs}


if __name__ == "__main__":
    main()

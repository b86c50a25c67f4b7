"""GET show and GET blob against nginx serving a static file of 4 KiB, in one run. Bar: each >= 0.28 of nginx."""

import tempfile
from pathlib import Path

import httpx
from corpus import chart, load, push
from servers import cnr, nginx
from wrk import warm_rate

BAR = 0.28


def main() -> None:
    """Measure and print a table."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "nginx").mkdir()
        data, digest = chart("four", "1.0.0", 3600)
        with cnr(folder) as (address, _):
            load(address)
            with httpx.Client(base_url=address) as http:
                push(http, "bench/four", "1.0.0", "helm", data)
            base = f"{address}/api/v1/packages/bench/four"
            with nginx(folder / "nginx", {"file": data[:4096].ljust(4096, b"x")}) as peer:
                rates = {
                    "nginx, static 4 KiB": warm_rate(f"{peer}/file"),
                    "show": warm_rate(f"{base}/1.0.0/helm"),
                    f"blob of {len(data)} bytes": warm_rate(f"{base}/blobs/sha256/{digest}"),
                    "nginx, static 4 KiB, again": warm_rate(f"{peer}/file"),
                }
    report(rates)


def report(rates: dict[str, float]) -> None:
    """A line a row: its rate, and its ratio to the mean of the peer's two runs."""
    peer = (rates["nginx, static 4 KiB"] + rates["nginx, static 4 KiB, again"]) / 2
    for name, value in rates.items():
        verdict = "" if "nginx" in name else f"  bar {BAR}: {'met' if value >= BAR * peer else 'MISSED'}"
        print(f"{name:<30} {value:>9,.0f}/s  {value / peer:5.2f}{verdict}")


if __name__ == "__main__":
    main()

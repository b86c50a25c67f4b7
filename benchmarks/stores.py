"""Reads of one worker on another store against one on the filesystem, in one run. Bar: each >= 0.5.

    STORAGE=redis://127.0.0.1:6379 python benchmarks/stores.py

The store must be empty or this benchmark's own.
"""

import os
import tempfile
from pathlib import Path

import httpx
from corpus import chart, push
from servers import cnr
from wrk import warm_rate

BAR = 0.5
RUNS = 1


def main() -> None:
    """Measure in turns, and print a table of the means."""
    storage = os.environ["STORAGE"]
    data, _ = chart("four", "1.0.0", 3600)
    rates: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as text:
        places = {"filesystem": "filesystem", "other": storage}
        for name in places:
            (Path(text) / name).mkdir()
        for _ in range(RUNS):
            for name, place in places.items():
                with cnr(Path(text) / name, workers=1, STORAGE=place) as (address, _pid):
                    with httpx.Client(base_url=address) as http:
                        if http.get("/api/v1/packages/bench/four/1.0.0/helm").status_code != 200:
                            push(http, "bench/four", "1.0.0", "helm", data)
                    for what, path in PATHS.items():
                        rates.setdefault((what, name), []).append(warm_rate(f"{address}{path}"))
    for what in PATHS:
        ours, other = (sum(rates[what, name]) / RUNS for name in places)
        verdict = "met" if other >= BAR * ours else "MISSED"
        print(f"{what:<20} filesystem {ours:>8,.0f}/s  {storage.partition(':')[0]} {other:>8,.0f}/s", end="  ")
        print(f"{other / ours:5.2f}  bar {BAR}: {verdict}")


PATHS = {"show": "/api/v1/packages/bench/four/1.0.0/helm", "manifest by tag": "/v2/bench/four/manifests/1.0.0"}


if __name__ == "__main__":
    main()

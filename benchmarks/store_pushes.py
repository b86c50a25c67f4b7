"""Durable CNR pushes of a 1-KiB chart through two servers of one store, four clients each.

    benchmarks/store_pushes.py etcd                       an etcd of one member, started here
    benchmarks/store_pushes.py redis://127.0.0.1:6379     one that runs already; packages are left in it

Bars: etcd 150 a second, redis with appendfsync always 400; the same two servers on one folder are measured beside them.
"""

import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from pushes import CLIENTS, HERE, pushes
from servers import cnr, etcd
from wrk import rate

BARS = {"etcd": 150, "redis": 400}
SERVERS = 2
SECONDS = 8


def main(storage: str) -> None:
    """Measure and print both rates."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text, ExitStack() as stack:
        folder = Path(text)
        os.environ["PUSHES"] = str(pushes(folder / "pushes"))
        own = stack.enter_context(etcd(folder)) if storage == "etcd" else storage
        engine = storage.partition(":")[0]
        found, files = measured(folder, own), measured(folder, str(folder / "files"))
    verdict = "met" if found >= BARS[engine] else "MISSED"
    print(f"{engine:<12}{found:>8,.0f}/s  bar {BARS[engine]}: {verdict}")
    print(f"{'filesystem':<12}{files:>8,.0f}/s  ratio {found / files:.2f}")


def measured(folder: Path, storage: str) -> float:
    """Pushes a second, of both servers together."""
    with ExitStack() as stack:
        addresses = []
        for number in range(SERVERS):
            own = folder / f"{storage.partition(':')[0].replace('/', '-')}{number}"
            own.mkdir()
            addresses.append(stack.enter_context(cnr(own, workers=1, STORAGE=storage))[0])
        with ThreadPoolExecutor(SERVERS) as pool:
            return sum(pool.map(_rate, addresses, range(SERVERS)))


def _rate(address: str, number: int) -> float:
    each = CLIENTS // SERVERS
    script = HERE / "cnr_push.lua"
    return rate(
        address, seconds=SECONDS, threads=each, connections=each, script=script, env={"FIRST": str(number * each)}
    )


if __name__ == "__main__":
    main(*sys.argv[1:])

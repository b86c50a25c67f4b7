"""Small artifact pushes over the OCI API from 8 clients, and 100-MB layers from 2, against distribution v3.

Bars, as ratios to distribution in the same run: small pushes (a layer of 4 KiB, a config, a manifest by tag: five
requests) 2.5, large layers 1.0. Both servers fsync. Both run all the time, and have turns right after one another.
"""

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx
from artifacts import digest_of, noise, put_blob
from cpu import seconds_of
from servers import cnr, distribution
from wrk import rate

CLIENTS = 8
ROUNDS = 5
PUSHES = 8_000
SECONDS = 5
LAYER = 4096
LARGE = 100_000_000
LARGE_LAYERS = 8
HERE = Path(__file__).parent
Server = tuple[str, int]
"""Address, and process id."""
Load = Callable[[str, int, Path], tuple[float, float]]
"""Given a server's address, the round, and a folder: what was done, and in how many seconds."""
Measured = tuple[float, float]
"""A rate a second, and the server's processor time for one of what is counted."""


def main() -> None:
    """Measure both and print: medians over rounds."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        with cnr(folder) as ours, distribution(folder) as theirs:
            report("small pushes/s", 2.5, [in_turn(number, small, ours, theirs, folder) for number in range(ROUNDS)])
            report(
                "100-MB layers, MB/s", 1.0, [in_turn(number, large, ours, theirs, folder) for number in range(ROUNDS)]
            )


def in_turn(number: int, load: Load, ours: Server, theirs: Server, folder: Path) -> tuple[Measured, Measured]:
    """A round; who begins changes."""
    servers = (ours, theirs) if number % 2 else (theirs, ours)
    found = {server: measured(number, load, server, folder) for server in servers}
    return found[ours], found[theirs]


def measured(number: int, load: Load, server: Server, folder: Path) -> Measured:
    """One turn of one server."""
    address, pid = server
    used = seconds_of(pid)
    count, seconds = load(address, number, folder)
    return count / seconds, (seconds_of(pid) - used) / count


def report(name: str, bar: float, rounds: list[tuple[Measured, Measured]]) -> None:
    """One line."""
    ratios = sorted(ours[0] / theirs[0] for ours, theirs in rounds)
    ours, theirs = ([median(each) for each in zip(*side, strict=True)] for side in zip(*rounds, strict=True))
    verdict = "met" if median(ratios) >= bar else "MISSED"
    print(
        f"{name:<20} {ours[0]:>8,.0f} ({ours[1] * 1e3:.2f} ms of processor each)"
        f"  distribution {theirs[0]:>8,.0f} ({theirs[1] * 1e3:.2f} ms)"
        f"  {median(ratios):5.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})  bar {bar:g}: {verdict}",
        flush=True,
    )


def small(address: str, number: int, folder: Path) -> tuple[float, float]:
    """Pushes, five requests each, of artifacts that no round before had."""
    lines = folder / f"layers{number}"
    if not lines.exists():
        lines.write_text("".join(layers(number * PUSHES)))
    env = {"LAYERS": str(lines), "LAYER": str(LAYER), "ROUND": str(number)}
    script = HERE / "oci_push.lua"
    requests = rate(address, seconds=SECONDS, threads=CLIENTS, connections=CLIENTS, script=script, env=env) * SECONDS
    return requests / 5, SECONDS


def large(address: str, number: int, folder: Path) -> tuple[float, float]:
    """Megabytes of layers that two clients push at the same time."""
    seeds = [b"layer%d of %d" % (each, number) for each in range(LARGE_LAYERS)]
    digests = [_digest(seed) for seed in seeds]
    begun = time.monotonic()
    with ThreadPoolExecutor(2) as clients:
        list(clients.map(lambda each: _push(address, *each), zip(seeds, digests, strict=True)))
    return LARGE * LARGE_LAYERS / 1e6, time.monotonic() - begun


def _push(address: str, seed: bytes, digest: str) -> None:
    with httpx.Client(base_url=address, timeout=120) as http:
        put_blob(http, "bench/large", digest, noise(LARGE, seed), LARGE)


def _digest(seed: bytes) -> str:
    running = hashlib.sha256()
    for piece in noise(LARGE, seed):
        running.update(piece)
    return f"sha256:{running.hexdigest()}"


def layers(first: int) -> Iterator[str]:
    """The lines that oci_push.lua reads."""
    for number in range(first, first + PUSHES):
        text = f"{number:016d}"
        config = b'{"n":"%b"}' % text.encode()
        yield f"{text} {digest_of(text.ljust(LAYER, 'x').encode())} {digest_of(config)}\n"


if __name__ == "__main__":
    main()

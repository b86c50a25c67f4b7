"""10,000 packages with 10 releases each: lists and search, start-up, memory of a worker.

Bars: list with limit=100 and search under 5 ms at the server (as its access log says), start-up under 3 s, a
worker under 150 MiB. The packages are written straight into the store, as a server that pushed them would have.
"""

import asyncio
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx
from servers import cnr, memory_mib

from cnr.domain.digest import Digest, TarDigest
from cnr.domain.names import Format, Repository, Tag
from cnr.store import keys
from cnr.store.base import ABSENT
from cnr.store.records import FormatEntry, Pointer, ReleaseTag, Repo, encode
from cnr.store.sqlite import SqliteRecords

PACKAGES = 10_000
RELEASES = 10
ROUNDS = 50
START = 1_700_000_000_000_000
WORDS = ("database", "cache", "proxy", "monitoring", "queue", "search", "storage", "gateway")
P = "/api/v1/packages"
QUESTIONS = {
    "list, limit=100": f"{P}?limit=100",
    "list, from the middle": f"{P}?limit=100&after=team50/app5000",
    "list, namespace": f"{P}?limit=100&namespace=team7",
    "list, format": f"{P}?limit=100&media_type=kpm",
    "list, query": f"{P}?limit=100&query=app99",
    "search": f"{P}/search?q=app123",
    "search, nothing": f"{P}/search?q=nothing-like-it",
    "ranked search": "/api/v1/search?q=proxy+app77&limit=20",
}


def main() -> None:
    """Fill a store, start a server on it, and ask."""
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        begun = time.monotonic()
        (folder / "data").mkdir()
        asyncio.run(fill(folder / "data"))
        print(f"filled with {PACKAGES:,} packages of {RELEASES} releases in {time.monotonic() - begun:.0f} s")
        for state in ("views built anew", "views there"):
            begun = time.monotonic()
            with cnr(folder) as (address, pid):
                httpx.get(f"{address}/readyz", timeout=60).raise_for_status()
                print(f"start-up to the first answer, {state}: {time.monotonic() - begun:.1f} s  bar 3")
                if state == "views there":
                    ask(address, folder / "access.log", QUESTIONS, bar_ms=5)
                    print(f"memory of the largest process: {memory_mib(pid):.0f} MiB  bar 150")


def ask(address: str, log: Path, questions: Mapping[str, str], *, bar_ms: float) -> None:
    """Each question ROUNDS times on one connection; prints the median and the worst of what the server took."""
    with httpx.Client(base_url=address, timeout=30) as http:
        for name, path in questions.items():
            before = log.stat().st_size
            for _ in range(ROUNDS):
                http.get(path).raise_for_status()
            time.sleep(0.5)
            with log.open("rb") as lines:
                lines.seek(before)
                taken = sorted(json.loads(line)["ms"] for line in lines)
            print(f"{name:<24} median {statistics.median(taken):6.2f} ms, worst {taken[-1]:6.2f} ms  bar {bar_ms:g}")


async def fill(folder: Path) -> None:
    """Write the records of all packages."""
    records = SqliteRecords.in_folder(folder, lambda: secrets.token_hex(16))
    waiting: list[asyncio.Task[object]] = []
    async for key, value in _records():
        waiting.append(asyncio.ensure_future(records.put(key, value, expect=ABSENT, durable=False)))
        if len(waiting) == 500:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    await records.close()


async def _records() -> AsyncIterator[tuple[str, bytes]]:
    for number in range(PACKAGES):
        repository = Repository(f"team{number % 100}/app{number}")
        yield keys.repo(repository), encode(Repo(state="live", created_at=START + number))
        for minor in range(RELEASES):
            yield keys.tag(repository, Tag(f"1.{minor}.0")), encode(_release(number, minor))


def _release(number: int, minor: int) -> ReleaseTag:
    manifest = Pointer(Digest(f"sha256:{number:032x}{minor:032x}"), secrets.token_hex(16))
    entry = FormatEntry(
        manifest=manifest,
        tar_digest=TarDigest(f"{number:032x}{minor:032x}"),
        size=1000,
        created_at=START + number * 100 + minor,
        description=f"The {WORDS[number % 8]} of team {number % 100}, number {number}",
        keywords=(WORDS[number % 8], WORDS[number % 7]),
    )
    formats = {Format("helm"): entry} | ({Format("kpm"): entry} if number % 10 == 0 else {})
    return ReleaseTag(born=secrets.token_hex(16), manifest=manifest, formats=formats, write=secrets.token_hex(16))


if __name__ == "__main__":
    main()

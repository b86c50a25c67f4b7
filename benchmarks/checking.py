"""`cnr storage check --deep` of a store with 100,000 releases, and of one with some gigabytes in files.

No other registry has such a check, so the peers are the least that it could do: reading all records once, and
`sha256sum` of all files. Both as processor time, which other work on the machine changes least, and by the clock.

    benchmarks/checking.py [RELEASES [GIGABYTES]]
"""

import asyncio
import hashlib
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from index import START, fill, written

from cnr.domain.digest import Digest
from cnr.domain.names import Repository
from cnr.store import keys
from cnr.store.base import ABSENT
from cnr.store.records import BlobRecord
from cnr.store.sqlite import SqliteRecords

FILE = 64 << 20
NAMESPACES = 1_000
PIECE = 1 << 20
SCAN = """
import asyncio, secrets, sys
from pathlib import Path
from cnr.store.sqlite import SqliteRecords
async def main():
    records, after = SqliteRecords.in_folder(Path(sys.argv[1]), lambda: secrets.token_hex(16)), ""
    while found := await records.scan("", after=after, limit=200):
        after = found[-1].key
    await records.close()
asyncio.run(main())
"""


def main() -> None:
    """Both stores."""
    releases = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    gigabytes = float(sys.argv[2]) if len(sys.argv) > 2 else 4
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        many, large = Path(text) / "many", Path(text) / "large"
        many.mkdir()
        print(f"{releases:,} releases in {NAMESPACES:,} namespaces")
        fill(many, ((f"team{n % NAMESPACES}/app", f"1.{n // NAMESPACES}.0") for n in range(releases)))
        least = timed("reading every record once", [sys.executable, "-c", SCAN, str(many / "data")])
        timed("check, without views", check(many), of=least)
        timed("garbage collection, dry run", gc(many), of=least)
        make_views(many)
        timed("check, with views", check(many), of=least)
        print(f"\n{gigabytes:g} GB in files of {FILE >> 20} MiB")
        large.mkdir()
        files = asyncio.run(fill_large(large, round(gigabytes * 1e9 / FILE)))
        least = timed("sha256sum", ["sha256sum", *files], size=gigabytes)
        for jobs in (1, 2, 4):
            timed(f"check --jobs {jobs}", [*check(large), "--jobs", str(jobs)], of=least, size=gigabytes)


def check(folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "cnr.cli.main", "storage", "check", "--deep", "--database-url", str(folder / "data")]


def gc(folder: Path) -> Sequence[str]:
    return [sys.executable, "-m", "cnr.cli.main", "storage", "gc", "--dry-run", "--database-url", str(folder / "data")]


def make_views(folder: Path) -> None:
    """Bring the lists up to date, as a server does at its start."""
    from cnr.cli.store_options import load, with_registry

    with_registry(load({"database_url": str(folder / "data")}), lambda registry: registry.ready())


def timed(what: str, command: Sequence[str], *, of: float = 0.0, size: float = 0.0) -> float:
    """Run a command and print what it took; its processor time in seconds."""
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "CNR_GC_GRACE": "86400"})
    taken, after = time.monotonic() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = f", largest process so far {after.ru_maxrss / 1024:.0f} MiB"
    rate = f", {size * 1000 / used:,.0f} MB per second of processor" if size else ""
    ratio = f", {used / of:.1f} of that" if of else ""
    print(f"{what:<30} {taken:7.1f} s, {used:7.1f} s of processor{ratio}{rate}{memory}", flush=True)
    return used


async def fill_large(folder: Path, count: int) -> list[str]:
    """Files of random bytes, each a blob."""
    data = folder / "data"
    data.mkdir()
    records = SqliteRecords.in_folder(data, lambda: secrets.token_hex(16))
    files = []
    for _ in range(count):
        blob_id, content, running = secrets.token_hex(16), os.urandom(PIECE), hashlib.sha256()
        path = data / "blobs" / blob_id[:2] / blob_id
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:  # piece by piece: a child's memory is counted from this process's
            for _ in range(FILE // PIECE):
                file.write(content)
                running.update(content)
        record = BlobRecord(size=FILE, touched_at=START, blob_id=blob_id)
        digest = Digest(f"sha256:{running.hexdigest()}")
        await records.put(keys.blob(Repository("large/files"), digest), written(record), expect=ABSENT)
        files.append(str(path))
    await records.close()
    return files


if __name__ == "__main__":
    main()

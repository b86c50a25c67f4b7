"""index.yaml of a namespace with 20,000 versions, and 100,000 versions in 1,000 namespaces.

Bars. One namespace: first byte under 50 ms and 300 MB/s from the cache; 304 at 0.2 of nginx's static 4 KiB; the first
index after a push under 100 ms. Many: start-up under 5 s, a worker under 300 MiB after every index was asked for,
ChartMuseum uploads no slower than 0.8 of those to an empty server. The charts are written straight into the store,
as a server that was pushed them would have.
"""

import asyncio
import gzip
import hashlib
import io
import secrets
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import msgspec
from servers import cnr, memory_mib, nginx
from wrk import warm_rate

from cnr.domain.archive import HELM
from cnr.domain.chart import Chart, Maintainer
from cnr.domain.digest import TarDigest, sha256
from cnr.domain.manifest import MANIFEST_TYPE, Layer, helm_manifest
from cnr.domain.names import Repository, Tag
from cnr.store import keys
from cnr.store.base import ABSENT
from cnr.store.records import (
    BlobRecord,
    ContentsRecord,
    FormatEntry,
    ManifestRecord,
    Pointer,
    ReleaseTag,
    Repo,
    Stored,
    encode,
)
from cnr.store.sqlite import SqliteRecords

ONE = 20_000
CHARTS = 100
NAMESPACES = 1_000
MANY = 100
ROUNDS = 10
UPLOADS = 400
CLIENTS = 8
START = 1_700_000_000_000_000


def main() -> None:
    """Both parts, or the one that is named."""
    wanted = sys.argv[1:] or ["one", "many"]
    if "one" in wanted:
        one_namespace(charts=CHARTS)
        one_namespace(charts=1)
    if "many" in wanted:
        many_namespaces()


def one_namespace(*, charts: int) -> None:
    """20,000 versions of `charts` charts."""
    print(f"\n{ONE:,} versions of {charts} charts in one namespace")
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        folder = Path(text)
        fill(folder, ((f"big/app{number % charts}", f"1.{number // charts}.0") for number in range(ONE)))
        with cnr(folder) as (address, pid), httpx.Client(base_url=address, timeout=300) as http:
            http.get("/readyz").raise_for_status()
            begun = time.monotonic()
            size = len(http.get("/helm/big/index.yaml", headers=PLAIN).content)
            print(f"{'first index':<36} {1000 * (time.monotonic() - begun):8.0f} ms, {size / 1e6:.1f} MB")
            for _ in range(8):
                http.get("/helm/big/index.yaml", headers=PLAIN)
            found = [download(address) for _ in range(ROUNDS)]
            report("first byte, kept", [first for first, _, _ in found], "ms", 50)
            print(f"{'download':<36} {statistics.median(rate for _, rate, _ in found):8.0f} MB/s  bar 300")
            after = [next_index(http, address, number) for number in range(ROUNDS)]
            report("whole next index after a push", after, "ms", 100)
            tag = http.head("/helm/big/index.yaml", headers=PLAIN).headers["etag"]
            script = folder / "condition.lua"
            script.write_text(f"wrk.headers['If-None-Match'] = '{tag}'\n")
            (folder / "nginx").mkdir()
            with nginx(folder / "nginx", {"file": b"x" * 4096}) as peer:
                static = warm_rate(f"{peer}/file")
                same = warm_rate(f"{address}/helm/big/index.yaml", script=script)
            print(f"{'304':<36} {same:8,.0f}/s, {same / static:.2f} of nginx ({static:,.0f}/s)  bar 0.2")
            print(f"{'memory of the largest process':<36} {memory_mib(pid):8.0f} MiB")


PLAIN = {"accept-encoding": "identity"}


def download(address: str) -> tuple[float, float, float]:
    """Milliseconds to the first byte of a whole index, megabytes a second, milliseconds in all; as curl sees it."""
    told = "%{time_starttransfer} %{time_total} %{size_download}"
    command = ["curl", "-s", "-o", "/dev/null", "-w", told, f"{address}/helm/big/index.yaml"]
    first, total, size = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return 1000 * float(first), float(size) / 1e6 / float(total), 1000 * float(total)


def next_index(http: httpx.Client, address: str, number: int) -> float:
    """Milliseconds for the whole index that is asked for right after a push."""
    http.post("/helm/api/big/charts", content=archive("app0", f"9.9.{number}")).raise_for_status()
    return download(address)[2]


def many_namespaces() -> None:
    """100,000 versions in 1,000 namespaces."""
    print(f"\n{NAMESPACES * MANY:,} versions in {NAMESPACES:,} namespaces")
    with tempfile.TemporaryDirectory(dir=Path.home()) as text:
        empty, full = Path(text) / "empty", Path(text) / "full"
        with cnr(_made(empty)) as (address, _):
            base = uploads(address)
        fill(_made(full), ((f"team{n % NAMESPACES}/app", f"1.{n // NAMESPACES}.0") for n in range(NAMESPACES * MANY)))
        for state in ("views built anew", "views there"):
            begun = time.monotonic()
            with cnr(full) as (address, pid):
                httpx.get(f"{address}/readyz", timeout=300).raise_for_status()
                print(f"{f'start-up, {state}':<36} {time.monotonic() - begun:8.1f} s  bar 5")
                if state == "views there":
                    ask_all(address)
                    print(f"{'memory of the largest process':<36} {memory_mib(pid):8.0f} MiB  bar 300")
                    loaded = uploads(address)
        print(f"{'uploads, empty and loaded':<36} {base:.0f}/s, {loaded:.0f}/s: {loaded / base:.2f}  bar 0.8")


def ask_all(address: str) -> None:
    """Every index, twice, from several clients."""
    with ThreadPoolExecutor(4) as pool, httpx.Client(base_url=address, timeout=60) as http:
        for _ in range(2):
            paths = [f"/helm/team{number}/index.yaml" for number in range(NAMESPACES)]
            assert all(answer.status_code == 200 for answer in pool.map(http.get, paths))


def uploads(address: str) -> float:
    """ChartMuseum uploads a second, durable, from 8 clients."""
    bodies = [(number, archive("up", f"1.{number}.0")) for number in range(UPLOADS)]
    with ThreadPoolExecutor(CLIENTS) as pool, httpx.Client(base_url=address, timeout=60) as http:

        def push(item: tuple[int, bytes]) -> int:
            return http.post(f"/helm/api/load{item[0] % CLIENTS}/charts", content=item[1]).status_code

        begun = time.monotonic()
        assert all(status == 201 for status in pool.map(push, bodies))
        return UPLOADS / (time.monotonic() - begun)


def report(what: str, values: list[float], unit: str, bar: float) -> None:
    """Median and worst of `values`."""
    print(f"{what:<36} {statistics.median(values):8.1f} {unit}, worst {max(values):.1f}  bar {bar}")


def archive(name: str, version: str) -> bytes:
    """A small chart."""
    out = io.BytesIO()
    text = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: An app\n".encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(f"{name}/Chart.yaml")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return gzip.compress(out.getvalue(), 1, mtime=0)


def fill(folder: Path, charts: Iterable[tuple[str, str]]) -> None:
    """Write the records of charts, as (repository, version)."""
    begun = time.monotonic()
    (folder / "data").mkdir()
    count = asyncio.run(_fill(folder / "data", charts))
    print(f"{f'filled with {count:,} records':<36} {time.monotonic() - begun:8.1f} s")


async def _fill(folder: Path, charts: Iterable[tuple[str, str]]) -> int:
    records = SqliteRecords.in_folder(folder, lambda: secrets.token_hex(16))
    waiting: list[asyncio.Task[object]] = []
    count = 0
    for key, value in _records(charts):
        waiting.append(asyncio.ensure_future(records.put(key, value, expect=ABSENT, durable=False)))
        count += 1
        if len(waiting) == 1000:
            await asyncio.gather(*waiting)
            waiting.clear()
    await asyncio.gather(*waiting)
    await records.close()
    return count


def _records(charts: Iterable[tuple[str, str]]) -> Iterator[tuple[str, bytes]]:
    """Every record of a push, as `cnr storage check --deep` wants them."""
    known: set[str] = set()
    for number, (name, version) in enumerate(charts):
        repository, at = Repository(name), START + number
        if name not in known:
            known.add(name)
            yield keys.repo(repository), written(Repo(state="live", created_at=at))
        short = name.rpartition("/")[2]
        data = archive(short, version)
        layer = Layer(sha256(data), len(data), TarDigest(hashlib.sha256(gzip.decompress(data)).hexdigest()))
        made = helm_manifest(_chart(short, version), layer, created_at=at)
        pointer = Pointer(sha256(made.data), secrets.token_hex(16))
        for blob in (data, made.config):
            yield keys.blob(repository, sha256(blob)), written(BlobRecord(size=len(blob), touched_at=at, data=blob))
        contents = ContentsRecord(digest=layer.digest, size=len(data), touched_at=at)
        yield keys.contents(repository, layer.tar_digest), written(contents)
        manifest = ManifestRecord(
            born=pointer.born,
            media_type=MANIFEST_TYPE,
            size=len(made.data),
            pushed_at=at,
            origin="server",
            data=made.data,
        )
        yield keys.manifest(repository, pointer.digest), written(manifest)
        entry = FormatEntry(manifest=pointer, tar_digest=layer.tar_digest, size=len(data), created_at=at)
        release = ReleaseTag(born=secrets.token_hex(16), manifest=pointer, formats={HELM: entry})
        yield keys.tag(repository, Tag(version)), written(release)


def written(record: Stored) -> bytes:
    """A record's value, with the id of a write."""
    return encode(msgspec.structs.replace(record, write=secrets.token_hex(16)))


def _chart(name: str, version: str) -> Chart:
    """With what a chart of a large project says: some 1.2 KB in the index."""
    return Chart(
        name=name,
        version=version,
        api_version="v2",
        app_version="1.10.3",
        home="https://example.com/charts/app",
        sources=("https://example.com/charts", "https://example.com/images"),
        description="An application that does what the others do, " * 3,
        keywords=("database", "sql", "cluster", "replication"),
        maintainers=(Maintainer("The team", "team@example.com", "https://example.com"),),
        icon="https://example.com/icons/app.svg",
        annotations={"category": "Database", "images": "- name: app\n  image: example.com/app:1.10.3\n" * 8},
    )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()

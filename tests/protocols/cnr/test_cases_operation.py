"""Cases 10 and 77 to 81 and 84: servers of a test's own, many requests at once, restarts, imports, limits."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr import old_store
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.packages import b64, chart, gz, tar, tar_digest
from tests.protocols.cnr.server import ROOT, Server
from tests.services import storage

NewServer = Callable[..., Server]


@contextmanager
def api(server: Server, prefix: str = "") -> Iterator[Cnr]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield Cnr(client, prefix)


def test_case_10_the_curl_examples_of_the_old_server(own: Cnr, corpus: Path) -> None:
    files = {file.stem[:8]: file.read_bytes() for file in (corpus / "test-sh").glob("*.tgz")}
    helm, kpm = files["92ba810a"], files["7da12a2f"]
    curl = {"Content-Type": "application/x-www-form-urlencoded"}
    pushes = (("foo/bar", "1.0.1", "kpm", kpm), ("foo/bar", "1.0.1", "helm", helm))
    for name, release, format, blob in (
        *pushes,
        ("toto/titi", "4.2.1", "helm", helm),
        ("toto/titi", "3.2.1", "helm", helm),
    ):
        body = f'{{"blob": "{b64(blob)}", "release": "{release}", "media_type": "{format}"}}'
        done(own.post(f"/{name}", content=body, headers=curl))
    listed = {item["name"]: item["releases"] for item in done(own.get())}
    assert listed == {"foo/bar": ["1.0.1"], "toto/titi": ["4.2.1", "3.2.1"]}
    for name, release, format, blob in pushes:
        digest = done(own.show(name, release, format))["content"]["digest"]
        assert digest == tar_digest(blob)
        assert own.get(f"/{name}/blobs/sha256/{digest}").content == blob
    done(own.delete("/foo/bar/1.0.1/helm"))
    assert done(own.delete("/toto/titi/3.2.1/helm"))["status"] == "deleted"


def test_case_77_parallel_pushes_of_different_releases(cnr: Cnr, package: str) -> None:
    releases = [f"1.{number}.0" for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda release: cnr.push(package, release), releases))
    assert [answer.status_code for answer in answers] == [200] * 20
    assert sorted(item["release"] for item in done(cnr.get(f"/{package}"))) == sorted(releases)
    assert done(cnr.get(params={"query": package}))[0]["releases"] == releases[::-1]


def test_case_77_parallel_pushes_of_one_release(cnr: Cnr, package: str) -> None:
    blobs = [chart(f"racer {number}") for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda blob: cnr.push(package, blob=blob), blobs))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 19
    winner = next(blob for blob, answer in zip(blobs, answers, strict=True) if answer.status_code == 200)
    assert cnr.get(f"/{package}/1.0.0/helm/pull").content == winner


def test_case_78_reads_while_pushes_go_on(cnr: Cnr, package: str) -> None:
    cnr.pushed(package, "0.0.1")
    paths = (
        "",
        f"/{package}",
        f"/{package}/default/helm",
        f"/{package}/default/helm/pull/json",
        f"/{package}/channels",
    )
    with ThreadPoolExecutor(6) as pool:
        pushes = [pool.submit(cnr.push, package, f"1.{number}.0") for number in range(40)]
        reads = [pool.submit(cnr.get, path) for _ in range(30) for path in paths]
        found = [done(read.result()) for read in reads]
        assert {push.result().status_code for push in pushes} == {200}
    assert all(found[at] for at in range(len(found)) if paths[at % len(paths)] != f"/{package}/channels")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_case_79_a_restart_keeps_everything(new_server: NewServer, prefix: str, end: str) -> None:
    server = new_server()
    blob = chart("kept" * 9000)
    with api(server, prefix) as cnr:
        done(cnr.push("ns/app", "1.0.0", blob=blob, metadata={"a": 1}))
        done(cnr.push("ns/app", "1.1.0", "kpm"))
        done(cnr.post("/ns/app/channels/stable/1.0.0"))
        paths = ("", "/ns/app", "/ns/app/1.0.0/helm", "/ns/app/1.1.0", "/ns/app/channels", "/search?q=app")
        before = [done(cnr.get(path)) for path in paths]
    getattr(server, end)()
    server.start()
    with api(server, prefix) as cnr:
        assert [done(cnr.get(path)) for path in paths] == before
        assert cnr.get("/ns/app/1.0.0/helm/pull").content == blob
        refused(cnr.push("ns/app", "1.0.0"), 409, "package-exists")


def cnr_import(source: Path, store: Path) -> "subprocess.CompletedProcess[str]":
    """`cnr import` into the store folder, which a server may have open."""
    own = {"PATH": os.environ["PATH"], "HOME": str(store.parent), "DATABASE_URL": str(store)}
    env = {**own, **storage.environment(store.parent)}
    command = [sys.executable, "-m", "cnr.cli.main", "import", str(source)]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


def everything(cnr: Cnr, package: str) -> list[Any]:
    return [done(cnr.get(f"/{package}{path}")) for path in ("", "/channels")]


def rocketchat_holds(cnr: Cnr) -> None:
    """Source: contracts/cnr.md section 4, "Pinned by tests on backup1 data"."""
    name = "titi/rocketchat"
    assert [item["name"] for item in done(cnr.get())] == [name]
    found = done(cnr.get(f"/{name}"))
    wanted = {("0.0.1", "helm"), ("0.0.1", "kpm"), ("1.0.1", "kpm"), ("2.0.1", "kpm")}
    assert {(item["release"], item["mediaType"].split(".")[-3]) for item in found} == wanted
    assert all({"blob", "channels"}.isdisjoint(item) for item in found)
    assert {item["mediaType"].split(".")[1] for item in found} == {"cnr"}
    sizes = {item["content"]["digest"][:8]: item["content"]["size"] for item in found}
    assert sizes == {"d3b54b79": 778, "72ed15c9": 583}
    assert done(cnr.get(f"/{name}/channels")) == [
        {"current": "1.0.1", "name": "dev", "releases": ["1.0.1"]},
        {"current": "2.0.1", "name": "stable", "releases": ["2.0.1", "1.0.1"]},
    ]
    refused(cnr.show(name, "0.0.1", "-"), 400, "invalid-usage")
    assert done(cnr.show(name, "%3E1.2", "kpm"))["release"] == "2.0.1"
    refused(cnr.show(name, "%3E1.2", "bad"), 404, "package-not-found")
    refused(cnr.post(f"/{name}/channels/stable/1.a.1"), 422, "invalid-release")
    refused(cnr.post(f"/{name}/channels/stable/1.4.1"), 404, "package-release-not-found")
    assert done(cnr.show(name, "2.0.1", "kpm"))["channels"] == ["stable"]
    assert done(cnr.show(name, "1.0.1", "kpm"))["channels"] == ["dev"]
    done(cnr.delete(f"/{name}/channels/stable/2.0.1"))
    assert done(cnr.get(f"/{name}/channels/stable"))["releases"] == ["1.0.1"]
    assert done(cnr.show(name, "2.0.1", "kpm"))["channels"] == []
    done(cnr.delete(f"/{name}/channels/dev/1.0.1"))
    refused(cnr.get(f"/{name}/channels/dev"), 404, "channel-not-found")


def test_case_80_import_of_a_backup(new_server: NewServer, corpus: Path) -> None:
    server = new_server()
    with api(server) as cnr:
        first = cnr_import(corpus / "cnr-backup1.json", server.store)
        assert first.returncode == 0, first.stderr + first.stdout
        before = everything(cnr, "titi/rocketchat")
        assert {item["created_at"] for item in before[0]} <= {
            "2016-10-11T12:03:24.941731",
            "2016-10-11T12:33:34.594666",
        }
        assert done(cnr.get())[0]["created_at"] == "2016-10-11T12:03:24.941731"
        assert cnr_import(corpus / "cnr-backup1.json", server.store).returncode == 0
        assert everything(cnr, "titi/rocketchat") == before
        rocketchat_holds(cnr)


@pytest.mark.parametrize("line", [old_store.S, old_store.H], ids=["S", "H"])
def test_case_80_import_of_an_old_store(new_server: NewServer, tmp_path: Path, line: old_store.Line) -> None:
    blobs = {release: chart(f"old {release}") for release in ("0.0.1", "1.0.1", "2.0.1")}
    package = old_store.OldPackage(
        "titi/rocketchat",
        {
            "0.0.1": {"kpm": blobs["0.0.1"], "helm": blobs["1.0.1"]},
            "1.0.1": {"kpm": blobs["1.0.1"]},
            "2.0.1": {"kpm": blobs["2.0.1"]},
        },
        {"dev": ("1.0.1", ["1.0.1"]), "stable": ("1.0.1", ["1.0.1", "2.0.1"])},
    )
    old_store.write(tmp_path / "old", line, package, old_store.OldPackage("empty/gone", {}, {}))
    server = new_server()
    with api(server) as cnr:
        first = cnr_import(tmp_path / "old", server.store)
        assert first.returncode == 0, first.stderr + first.stdout
        assert [item["name"] for item in done(cnr.get())] == ["titi/rocketchat"]
        before = everything(cnr, "titi/rocketchat")
        assert {item["created_at"] for item in before[0]} == {old_store.CREATED_AT}
        assert {item["mediaType"].rsplit(".", 3)[0] for item in before[0]} == {"application/vnd.cnr.package-manifest"}
        assert before[1] == [
            {"current": "1.0.1", "name": "dev", "releases": ["1.0.1"]},
            {"current": "1.0.1", "name": "stable", "releases": ["2.0.1", "1.0.1"]},
        ]
        for release, blob in blobs.items():
            assert cnr.get(f"/titi/rocketchat/{release}/kpm/pull").content == blob
        assert cnr_import(tmp_path / "old", server.store).returncode == 0
        assert everything(cnr, "titi/rocketchat") == before


LOW = {
    "CNR_MAX_JSON_BODY": "100000",
    "CNR_MAX_FORM_BODY": "20000",
    "CNR_MAX_PACKAGE": "50000",
    "CNR_MAX_UNPACKED": "3000000",
    "CNR_MAX_MEMBERS": "20",
    "CNR_MAX_RATIO": "200",
    "CNR_MAX_CHART_FILE": "1500000",
    "CNR_MAX_METADATA": "1000",
}
NOISE = bytes(os.urandom(60_000))
LARGE = {
    "package": gz(tar({"app/noise": NOISE})),
    "unpacked": gz(tar({f"app/{number}": bytes(400_000) + NOISE[:600] for number in range(8)})),
    "members": gz(tar({f"app/{number}": b"" for number in range(21)})),
    "ratio": gz(tar({"app/a": bytes(1_200_000)})),
    "file": gz(tar({"app/a": bytes(1_600_000) + NOISE[:20_000]})),
}


@pytest.fixture(scope="module", params=["uvicorn", "gunicorn"])
def low(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cnr]:
    """A server with low limits."""
    server = Server(tmp_path_factory.mktemp("low"), entry=request.param, env=LOW)
    try:
        with api(server.start()) as cnr:
            yield cnr
    finally:
        server.kill()


@pytest.mark.parametrize("blob", LARGE.values(), ids=LARGE.keys())
def test_case_81_packages_beyond_a_limit(low: Cnr, blob: bytes) -> None:
    package = low.fresh()
    error = refused(low.push(package, blob=blob), 413, "payload-too-large")
    assert error["details"]["limit"] in {int(value) for value in LOW.values()}
    refused(low.get(f"/{package}"), 404, "package-not-found")
    refused(low.get(f"/{package}/blobs/sha256/{tar_digest(blob)}"), 404, "package-not-found")


def test_case_81_bodies_beyond_a_limit(low: Cnr) -> None:
    package, body = low.fresh(), b'{"blob": "' + b"A" * 200_000 + b'"}'
    details = {"limit": 100_000, "what": "body"}
    refused(low.post(f"/{package}", content=body), 413, "payload-too-large", **details)
    refused(low.post(f"/{package}", content=iter([body[:500], body[500:]])), 413, "payload-too-large", **details)
    refused(low.post(f"/{package}", data={"blob": "A" * 30_000}), 413, "payload-too-large")
    refused(low.push(package, metadata={"a": "x" * 1000}), 413, "payload-too-large", limit=1000)
    refused(low.get(f"/{package}"), 404, "package-not-found")
    done(low.push(package, metadata={"a": "x" * 900}))


def test_case_81_a_limit_is_no_limit_for_other_formats(low: Cnr) -> None:
    """The limit of one file holds for helm charts only. Source: contracts/cnr.md 2.4."""
    done(low.push(low.fresh(), media_type="kpm", blob=LARGE["file"]))


def peak_kib(server: Server) -> int:
    """The most memory that the server's process ever had."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))


def test_case_81_a_gzip_bomb_costs_no_memory(new_server: NewServer) -> None:
    server = new_server()
    bomb = gzip.compress(bytes(300 << 20), 1)
    nested = gz(tar({"app/bomb.gz": bomb}), 0)
    with api(server) as cnr:
        done(cnr.push("ns/warm"))
        before = peak_kib(server)
        for blob in (bomb, bomb * 2, gz(b"") * 100_000):
            assert cnr.push("ns/bomb", blob=blob).status_code in (413, 422)
        assert cnr.push("ns/nested", blob=nested).status_code == 200
        refused(cnr.get("/ns/bomb"), 404, "package-not-found")
    assert peak_kib(server) - before < 64 * 1024


@pytest.mark.parametrize("entry", ["gunicorn", "serve"])
def test_case_84_storage_is_honoured_by_every_entry(new_server: NewServer, entry: str) -> None:
    """That all cases hold through each entry is what the fixture `entry` does."""
    server = new_server(entry=entry, env={"STORAGE": "filesystem"}, workers=2)
    with api(server) as cnr:
        done(cnr.push("ns/app"))
        assert done(cnr.show("ns/app"))["package"] == "ns/app"
    assert server.store.is_dir()
    server.stop()
    other = new_server(entry="uvicorn", env={"CNR_DB_CLASS": "filesystem", "STORAGE": "nonsense"})
    with api(other) as cnr:
        assert done(cnr.show("ns/app"))["package"] == "ns/app"


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn", "serve"])
def test_case_84_an_unknown_storage_stops_the_start(tmp_path: Path, entry: str) -> None:
    server = Server(tmp_path, entry=entry, env={"STORAGE": "nonsense"})
    try:
        assert server.launch().wait(60) != 0
    finally:
        server.kill()
    assert "nonsense" in server.output()
    assert "Traceback" not in server.output()

"""A server whose blobs are on an object store: large ones, redirects, and a store that gives back something else."""

import asyncio
import random
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import MANIFEST, Oci, digest, image
from tests.services.faulty_http import Answer, Cut, Fault, FaultyHttp, Garble, Silence, first
from tests.services.object_stores import ObjectServer
from tests.services.processes import need

MIB = 1024 * 1024
LARGE = random.Random(1).randbytes(20 * MIB + 3)
MIDDLE = random.Random(2).randbytes(200 * 1024)
SMALL = b"small"

Start = Callable[..., Server]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a server with these variables."""
    with ExitStack() as stack:

        def begin(env: dict[str, str]) -> Server:
            server = Server(tmp_path / "server", env=env)
            stack.callback(server.kill)
            return server.start()

        yield begin


def test_a_large_blob_by_all_ways(start: Start, s3: ObjectServer) -> None:
    with httpx.Client(base_url=start(s3.environment()).url, timeout=60) as http:
        oci = Oci.fresh(http)
        name = oci.blob(LARGE)
        upload = oci.begin()
        for at in (0, 9 * MIB):
            part = LARGE[at : 9 * MIB if at == 0 else None]
            answer = http.patch(upload, content=part, headers={"content-type": "application/octet-stream"})
            assert answer.status_code == 202
            upload = answer.headers["location"]
        assert http.put(upload, params={"digest": digest(LARGE)}).status_code == 201
        other = oci.another()
        mounted = other.call("POST", "blobs/uploads/", params={"mount": name, "from": oci.name})
        assert mounted.status_code == 201
        assert oci.call("DELETE", f"blobs/{name}").status_code == 202
        assert other.get(f"blobs/{name}").content == LARGE
        piece = other.get(f"blobs/{name}", headers={"range": "bytes=8388600-8388700"})
        assert (piece.status_code, piece.content) == (206, LARGE[8388600:8388701])
    assert s3.unfinished() == []


def test_large_blobs_are_redirected_and_nothing_else(start: Start, s3: ObjectServer) -> None:
    server = start({**s3.environment(), "CNR_BLOB_REDIRECT": "100KiB"})
    with httpx.Client(base_url=server.url, timeout=60) as http:
        oci = Oci.fresh(http)
        for data in (SMALL, MIDDLE):
            oci.blob(data)
        answer = oci.get(f"blobs/{digest(MIDDLE)}")
        assert (answer.status_code, answer.content) == (307, b"")
        assert answer.headers["docker-content-digest"] == digest(MIDDLE)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["docker-distribution-api-version"] == "registry/2.0"
        assert "etag" not in answer.headers
        assert "tests" not in answer.headers["location"].partition("?")[0]
        assert httpx.get(answer.headers["location"]).content == MIDDLE
        followed = oci.get(f"blobs/{digest(MIDDLE)}", headers={"range": "bytes=10-19"}, follow_redirects=True)
        assert (followed.status_code, followed.content) == (206, MIDDLE[10:20])
        head = oci.call("HEAD", f"blobs/{digest(MIDDLE)}")
        assert (head.status_code, head.headers["content-length"]) == (200, str(len(MIDDLE)))
        known = oci.get(f"blobs/{digest(MIDDLE)}", headers={"if-none-match": f'"{digest(MIDDLE)}"'})
        assert known.status_code == 304
        assert oci.get(f"blobs/{digest(SMALL)}").content == SMALL
        assert oci.get(f"blobs/{digest(b'absent')}").status_code == 404
        assert oci.another().get(f"blobs/{digest(MIDDLE)}").status_code == 404
        assert oci.call("DELETE", f"blobs/{digest(MIDDLE)}").status_code == 202
        assert oci.get(f"blobs/{digest(MIDDLE)}").status_code == 404


def test_a_package_of_the_cnr_api_is_never_redirected(start: Start, s3: ObjectServer) -> None:
    with httpx.Client(base_url=start({**s3.environment(), "CNR_BLOB_REDIRECT": "1"}).url, timeout=60) as http:
        oci = Oci.fresh(http)
        oci.chart("1.0.0", extra=MIDDLE)
        pulled = http.get(f"/api/v1/packages/{oci.name}/1.0.0/helm/pull")
        assert (pulled.status_code, pulled.content[:2]) == (200, b"\x1f\x8b")
        shown = http.get(f"/api/v1/packages/{oci.name}/1.0.0/helm").json()
        blob = http.get(f"/api/v1/packages/{oci.name}/blobs/sha256/{shown['content']['digest']}")
        assert (blob.status_code, blob.content) == (200, pulled.content)


def test_a_client_follows_redirects(start: Start, s3: ObjectServer, tmp_path: Path) -> None:
    oras = need("oras")
    server = start({**s3.environment(), "CNR_BLOB_REDIRECT": "1"})
    reference = f"{server.url.removeprefix('http://')}/oci/redirected:1"
    (tmp_path / "file").write_bytes(MIDDLE)
    for words in (("push", reference, "file"), ("pull", reference, "--output", "pulled")):
        run = subprocess.run([oras, *words, "--plain-http"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
    assert (tmp_path / "pulled" / "file").read_bytes() == MIDDLE


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_a_bucket_that_is_gone_and_comes_back(start: Start, kind: str, request: pytest.FixtureRequest) -> None:
    store: ObjectServer = request.getfixturevalue(kind)
    store.make("goes")
    server = start(store.environment(store.address(bucket="goes")))
    with httpx.Client(base_url=server.url, timeout=60) as http:
        oci = Oci.fresh(http)
        oci.chart("1.0.0")
        assert http.get("/readyz").status_code == 200
        store.remove("goes")
        gone = until(http, 503)
        assert int(gone.headers["retry-after"]) > 0
        assert "no such bucket" in gone.json()["error"]["message"]
        assert http.get("/healthz").status_code == 200
        for path in ("/api/v1/packages", f"/api/v1/packages/{oci.name}/1.0.0/helm", f"/v2/{oci.name}/manifests/1.0.0"):
            assert http.get(path).status_code == 200, path
        name = digest(MIDDLE)
        pushed = http.post(f"/v2/{oci.name}/blobs/uploads/", params={"digest": name}, content=MIDDLE)
        assert (pushed.status_code, oci.get(f"blobs/{name}").status_code) == (503, 404)
        store.make("goes")
        until(http, 200)
        assert oci.blob(MIDDLE) == name
    store.remove("goes")


def until(http: httpx.Client, status: int) -> httpx.Response:
    """The first answer of /readyz with this status: one that was good counts for a second."""
    end = time.monotonic() + 30
    while (answer := http.get("/readyz")).status_code != status:
        assert time.monotonic() < end, answer.text
        time.sleep(0.1)
    return answer


async def test_a_store_that_says_nothing_is_not_ready(proxied: tuple[FaultyHttp, str]) -> None:
    proxy, url = proxied
    async with httpx.AsyncClient(base_url=url, timeout=20) as http:
        proxy.plan = first(Silence(), "GET", times=100)
        answers = [(await http.get("/readyz")).status_code]
        while answers[-1] == 200:
            answers.append((await http.get("/readyz")).status_code)
        assert answers[-1] == 503
        together = await asyncio.gather(*(http.get("/readyz") for _ in range(10)))
        assert {answer.status_code for answer in together} == {503}
        asked = [line for line in proxy.log if line.endswith("/blobs/none")]
        assert len(asked) <= len(answers) + 1
        assert (await http.get("/api/v1/packages")).status_code == 200


def test_redirects_need_an_object_store(tmp_path: Path) -> None:
    server = Server(tmp_path, entry="serve", env={"CNR_BLOB_REDIRECT": "1MiB"})
    with pytest.raises(RuntimeError, match="CNR_BLOB_REDIRECT needs files on an object store"):
        server.start()


@pytest.fixture
async def proxied(start: Start, s3: ObjectServer) -> AsyncIterator[tuple[FaultyHttp, str]]:
    """A proxy before the object store, and the address of a server behind it that has MIDDLE and LARGE."""
    async with FaultyHttp(s3.endpoint).running() as proxy:
        address = s3.address()
        direct = start(s3.environment(address))
        with httpx.Client(base_url=direct.url, timeout=60) as http:
            oci = Oci(http, "oci/faulty")
            for data in (MIDDLE, LARGE):
                oci.blob(data)
        direct.stop()
        direct._env["BLOB_STORAGE"] = address.replace(s3.endpoint, proxy.endpoint)
        direct.launch()
        async with httpx.AsyncClient(base_url=direct.url, timeout=60) as http_:
            await answering(http_, direct)
            yield proxy, direct.url


async def answering(http: httpx.AsyncClient, server: Server) -> None:
    while True:
        assert server.process.poll() is None, server.output()
        try:
            await http.get("/version")
        except httpx.TransportError:
            continue
        return


def blob_url(data: bytes) -> str:
    return f"/v2/oci/faulty/blobs/{digest(data)}"


WRONG: list[tuple[bytes, Fault]] = [
    (MIDDLE, Garble(5)),
    (MIDDLE, Garble(len(MIDDLE) - 1)),
    (LARGE, Garble(0)),
    (LARGE, Garble(len(LARGE) - 1)),
]


@pytest.mark.parametrize(("data", "fault"), WRONG, ids=["middle-5", "middle-end", "large-0", "large-end"])
async def test_other_bytes_are_never_a_success(proxied: tuple[FaultyHttp, str], data: bytes, fault: Any) -> None:
    proxy, url = proxied
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        proxy.plan = first(fault, "GET")
        if data is MIDDLE:  # read before the answer begins
            assert (await http.get(blob_url(data))).status_code == 500
        else:
            with pytest.raises(httpx.RemoteProtocolError):
                await http.get(blob_url(data))
        assert (await http.get(blob_url(data))).content == data


async def test_a_large_manifest_is_proven_too(proxied: tuple[FaultyHttp, str]) -> None:
    proxy, url = proxied
    data = image(annotations={"a": "x" * 200_000}, config=SMALL)
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        blob = await http.post("/v2/oci/faulty/blobs/uploads/", params={"digest": digest(SMALL)}, content=SMALL)
        assert blob.status_code == 201
        path = f"/v2/oci/faulty/manifests/{digest(data)}"
        assert (await http.put(path, content=data, headers={"content-type": MANIFEST})).status_code == 201
        proxy.plan = first(Garble(100_000), "GET")
        assert (await http.get(path)).status_code == 500
        assert (await http.get(path)).content == data


async def test_a_store_that_fails_is_503_and_one_that_breaks_off_is_asked_again(
    proxied: tuple[FaultyHttp, str],
) -> None:
    proxy, url = proxied
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        proxy.plan = first(Cut(7 * MIB), "GET", times=2)
        assert (await http.get(blob_url(LARGE))).content == LARGE
        proxy.plan = first(Answer(403, "AccessDenied"), "GET")
        answer = await http.get(blob_url(LARGE))
        assert answer.status_code == 503
        assert "AccessDenied" in answer.text
        proxy.plan = first(Answer(403, "AccessDenied"), "PUT")
        pushed = await http.post(
            "/v2/oci/faulty/blobs/uploads/", params={"digest": digest(MIDDLE + b"!")}, content=MIDDLE + b"!"
        )
        assert pushed.status_code == 503
        assert (await http.head(blob_url(MIDDLE + b"!"))).status_code == 404
        proxy.plan = first(Answer(507, "InsufficientStorage"), "PUT", times=20)
        pushed = await http.post(
            "/v2/oci/faulty/blobs/uploads/", params={"digest": digest(MIDDLE + b"!")}, content=MIDDLE + b"!"
        )
        assert pushed.status_code == 507

"""Many processes push at once to two workers: one winner per release, and nothing is lost."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.packages import b64, chart, tar_digest
from tests.protocols.cnr.pusher import Pushers, pushers
from tests.protocols.cnr.server import Server

LONG = os.environ.get("CNR_LONG") == "1"
ROUNDS = 10_000 if LONG else 200
RACERS = 20


@pytest.fixture(scope="module", params=["serve", "uvicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("races"), entry=request.param, workers=2)
    try:
        yield server.start()
    finally:
        server.kill()
    server.check()


@pytest.fixture
def cnr(server: Server) -> Iterator[Cnr]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield Cnr(client, "")


@pytest.fixture
def start(server: Server) -> Iterator[Callable[[int], Pushers]]:
    with ExitStack() as stack:
        yield lambda count: stack.enter_context(pushers([server.port] * count))


def job(package: str, release: str, blob: bytes, media_type: str = "helm") -> tuple[str, object]:
    return f"/api/v1/packages/{package}", {"blob": b64(blob), "release": release, "media_type": media_type}


def test_twenty_processes_push_one_release(cnr: Cnr, start: Callable[[int], Pushers]) -> None:
    racers = start(RACERS)
    for _ in range(5):
        package = cnr.fresh()
        blobs = [chart(f"{package} {number}" * (1 + number * 100)) for number in range(RACERS)]
        statuses = racers.race([job(package, "1.0.0", blob) for blob in blobs])
        assert sorted(statuses) == [200] + [409] * (RACERS - 1)
        winner = blobs[statuses.index(200)]
        assert done(cnr.show(package))["content"]["digest"] == tar_digest(winner)
        assert cnr.get(f"/{package}/1.0.0/helm/pull").content == winner
        assert done(cnr.get(params={"query": package}))[0]["releases"] == ["1.0.0"]


def test_twenty_processes_push_the_same_bytes(cnr: Cnr, start: Callable[[int], Pushers]) -> None:
    package, blob = cnr.fresh(), chart("same" * 9000)
    statuses = start(RACERS).race([job(package, "1.0.0", blob)] * RACERS)
    assert sorted(statuses) == [200] + [409] * (RACERS - 1)
    assert cnr.get(f"/{package}/1.0.0/helm/pull").content == blob


def test_twenty_processes_push_twenty_releases(cnr: Cnr, start: Callable[[int], Pushers]) -> None:
    racers = start(RACERS)
    for _ in range(5):
        package = cnr.fresh()
        blobs = {f"1.{number}.0": chart(f"{package} {number}") for number in range(RACERS)}
        statuses = racers.race([job(package, release, blob) for release, blob in blobs.items()])
        assert statuses == [200] * RACERS
        assert {item["release"] for item in done(cnr.get(f"/{package}"))} == blobs.keys()
        assert done(cnr.get(params={"query": package}))[0]["releases"] == list(blobs)[::-1]
        assert {release: cnr.get(f"/{package}/{release}/helm/pull").content for release in blobs} == blobs


def test_twenty_processes_push_twenty_formats_of_one_release(cnr: Cnr, start: Callable[[int], Pushers]) -> None:
    package = cnr.fresh()
    blobs = {f"format-{number:02}": chart(f"{package} {number}") for number in range(RACERS)}
    statuses = start(RACERS).race([job(package, "1.0.0", blob, format) for format, blob in blobs.items()])
    assert statuses == [200] * RACERS
    assert [item["mediaType"].split(".")[-3] for item in done(cnr.get(f"/{package}/1.0.0"))] == list(blobs)
    assert {format: cnr.get(f"/{package}/1.0.0/{format}/pull").content for format in blobs} == blobs


def test_rounds_of_two_racers(cnr: Cnr, start: Callable[[int], Pushers]) -> None:
    racers, package = start(2), cnr.fresh()
    blobs = [chart("left"), chart("right")]
    for number in range(ROUNDS):
        release = f"0.{number}.0"
        statuses = racers.race([job(package, release, blob) for blob in blobs])
        assert sorted(statuses) == [200, 409], release
        winner = blobs[statuses.index(200)]
        assert done(cnr.show(package, release))["content"]["digest"] == tar_digest(winner), release
    assert len(done(cnr.get(params={"query": package}))[0]["releases"]) == ROUNDS

"""Two servers of one store on a network: one winner per release, and each shows at once what the other was told.

The rules are those of one server with two workers (test_races.py). Source: architecture, section 2, rules 2 and 5.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.conftest import NewServer
from tests.protocols.cnr.packages import chart, tar_digest
from tests.protocols.cnr.pusher import pushers
from tests.protocols.cnr.server import Server
from tests.protocols.cnr.test_races import job
from tests.services.storage import ENGINES, needs_files

pytestmark = needs_files  # which here only says: not once more within a run over another store

LONG = os.environ.get("CNR_LONG") == "1"
ROUNDS = 10_000 if LONG else 200
TOLD = 10_000 if LONG else 50
OF_A_PACKAGE = 100
"""Rounds of one package: each looks at the list of its releases."""


@pytest.fixture(scope="module", params=ENGINES)
def address(request: pytest.FixtureRequest) -> str:
    return ENGINES[request.param]()


@pytest.fixture
def servers(new_server: NewServer, address: str, request: pytest.FixtureRequest) -> tuple[Server, Server]:
    env = {"STORAGE": address, "CNR_KV_PREFIX": f"{request.node.originalname}/"}
    return new_server("one", env=env), new_server("two", env=env)


@contextmanager
def apis(servers: tuple[Server, Server]) -> Iterator[tuple[Cnr, Cnr]]:
    one, two = servers
    with httpx.Client(base_url=one.url, timeout=60) as first, httpx.Client(base_url=two.url, timeout=60) as second:
        yield Cnr(first, ""), Cnr(second, "")


def test_two_servers_push_one_release(servers: tuple[Server, Server]) -> None:
    blobs = [chart("left"), chart("right")]
    with apis(servers) as both, pushers([server.port for server in servers]) as racers:
        for number in range(ROUNDS):
            if number % OF_A_PACKAGE == 0:
                package = both[0].fresh()
            release = f"0.{number}.0"
            statuses = racers.race([job(package, release, blob) for blob in blobs])
            assert sorted(statuses) == [200, 409], release
            winner = tar_digest(blobs[statuses.index(200)])
            shown = [done(cnr.show(package, release))["content"]["digest"] for cnr in both]
            assert shown == [winner, winner], release
            listed = done(both[number % 2].get(params={"query": package}))[0]
            assert (listed["default"], len(listed["releases"])) == (release, number % OF_A_PACKAGE + 1)


def test_what_one_server_was_told_the_other_shows_next(servers: tuple[Server, Server]) -> None:
    """Also while others ask the same: answers are kept until the feed moves."""
    with apis(servers) as both, asking(servers) as package:
        both[0].pushed(package, "1.0.0", "2.0.0")
        done(both[0].post(f"/{package}/channels/stable/1.0.0"))
        for number in range(TOLD):
            writer, reader = both if number % 2 else both[::-1]
            assert done(reader.show(package, "1.0.0"))["channels"] == ["stable"], number
            done(writer.post(f"/{package}/channels/stable/2.0.0"))
            assert done(reader.show(package, "1.0.0"))["channels"] == [], number
            assert done(reader.show(package, "2.0.0"))["channels"] == ["stable"], number
            done(writer.delete(f"/{package}/channels/stable/2.0.0"))


@contextmanager
def asking(servers: tuple[Server, Server]) -> Iterator[str]:
    """The name of a package that others ask both servers to show, all the time."""
    package, ended = "ns/asked", threading.Event()

    def ask(server: Server) -> None:
        with httpx.Client(base_url=server.url, timeout=60) as http:
            while not ended.wait(0.001):
                assert Cnr(http, "").show(package, "1.0.0").status_code in (200, 404)

    threads = [threading.Thread(target=ask, args=[server]) for server in servers for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield package
    finally:
        ended.set()
        for thread in threads:
            thread.join()

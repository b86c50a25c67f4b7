from collections.abc import Iterator

import httpx
import pytest
from tests.fuzz.campaign import processes, resident_mib
from tests.protocols.auth.world import World
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An open `cnr serve` with two workers, which most of these tests share, each in a namespace of its own."""
    server = Server(tmp_path_factory.mktemp("hostile"), entry="serve", workers=2)
    try:
        yield server.start()
    finally:
        server.kill()
    server.check()


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=120) as client:
        yield client


@pytest.fixture
def tenant(http: httpx.Client) -> Tenant:
    """A tenant that nobody has used."""
    return Tenant.fresh(http)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One with accounts."""
    world = World.start(tmp_path_factory.mktemp("world"), entry="serve", workers=2)
    yield world
    world.server.kill()


GROWTH_MIB = 100


@pytest.fixture
def steady(server: Server) -> Iterator[None]:
    """The workers keep no memory of what a test did, and none of them ends."""
    workers = processes(server.process.pid)
    before = resident_mib(workers)
    yield
    assert processes(server.process.pid) == workers
    assert resident_mib(workers) - before < GROWTH_MIB
    said = server.output()
    assert "Traceback" not in said
    assert '"status":500' not in said

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.client import Cnr
from tests.protocols.cnr.server import Server

NewServer = Callable[..., Server]


PREFIXES = {"bare": "", "prefixed": "/cnr"}
"""Both prefixes of every path. Source: contracts/cnr.md section 0."""

WAYS = ("uvicorn-bare", "uvicorn-prefixed", "gunicorn-prefixed", "serve-bare")
"""Entry and prefix: every case holds under both prefixes, and through every entry (case 84)."""


@pytest.fixture(scope="session", params=WAYS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def server(way: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share, each with packages of its own."""
    server = Server(tmp_path_factory.mktemp(way), entry=way.partition("-")[0])
    try:
        yield server.start()
    finally:
        server.kill()
    server.check()


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def cnr(http: httpx.Client, way: str) -> Cnr:
    return Cnr(http, PREFIXES[way.partition("-")[2]])


@pytest.fixture(params=PREFIXES.values(), ids=list(PREFIXES))
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def package(cnr: Cnr) -> str:
    """A package name that nobody has used."""
    return cnr.fresh()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Starts servers of this test alone; the first one's store is empty, equal folders share one.

    In the end nothing may be lost in their stores, but for those that were started with `checked=False`.
    """
    servers: dict[Path, Server] = {}
    with ExitStack() as stack:

        def start(folder: str = "own", *, checked: bool = True, **options: Any) -> Server:
            server = Server(tmp_path / folder, **options)
            if checked:
                servers[tmp_path / folder] = server
            server.launch()
            stack.callback(server.kill)
            return server.wait()

        yield start
    for server in servers.values():
        server.check()


@pytest.fixture
def own(new_server: NewServer, prefix: str) -> Iterator[Cnr]:
    """The API of a server with an empty store."""
    with httpx.Client(base_url=new_server().url, timeout=60) as client:
        yield Cnr(client, prefix)


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The shared packages, which lie beside the repository."""
    folder = pytestconfig.rootpath.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("the corpus of packages is not beside the repository")
    return folder

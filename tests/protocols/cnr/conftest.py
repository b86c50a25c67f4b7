from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.client import Cnr
from tests.protocols.cnr.server import Server

NewServer = Callable[..., Server]


@pytest.fixture(scope="session", params=["uvicorn", "gunicorn", "run-server"])
def entry(request: pytest.FixtureRequest) -> str:
    """How the server is started: all cases hold for every way (case 84)."""
    return str(request.param)


@pytest.fixture(scope="session")
def server(entry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share, each with packages of its own."""
    with ExitStack() as stack:
        server = Server(tmp_path_factory.mktemp(entry), entry=entry)
        stack.callback(lambda: server.kill())
        yield server.start()


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session", params=["", "/cnr"], ids=["bare", "prefixed"])
def prefix(request: pytest.FixtureRequest) -> str:
    """Both prefixes of every path. Source: contracts/cnr.md section 0."""
    return str(request.param)


@pytest.fixture
def cnr(http: httpx.Client, prefix: str) -> Cnr:
    return Cnr(http, prefix)


@pytest.fixture
def package(cnr: Cnr) -> str:
    """A package name that nobody has used."""
    return cnr.fresh()


@pytest.fixture
def new_server(tmp_path: Path) -> Iterator[NewServer]:
    """Starts servers of this test alone; the first one's store is empty, equal folders share one."""
    with ExitStack() as stack:

        def start(folder: str = "own", **options: Any) -> Server:
            server = Server(tmp_path / folder, **options).start()
            stack.callback(server.kill)
            return server

        yield start


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

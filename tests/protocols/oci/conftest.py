from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import Oci


@pytest.fixture(scope="session", params=["uvicorn", "gunicorn", "s3"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share, each with repositories of its own; "s3" keeps its blobs on an object store."""
    folder = tmp_path_factory.mktemp("oci")
    if request.param == "s3":
        server = Server(folder, env=request.getfixturevalue("s3").environment())
    else:
        server = Server(folder, entry=request.param)
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
def oci(http: httpx.Client) -> Oci:
    """A repository that nobody has used."""
    return Oci.fresh(http)

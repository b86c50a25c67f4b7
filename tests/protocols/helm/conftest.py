from collections.abc import Iterator

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant


@pytest.fixture(scope="session", params=["uvicorn", "gunicorn"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that most tests share, each with a tenant of its own."""
    env = {"CNR_HELM_HOSTS": "charts.test", "CNR_MAX_PACKAGE": "4MiB"}
    server = Server(tmp_path_factory.mktemp("helm"), entry=request.param, workers=2, env=env)
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
def tenant(http: httpx.Client) -> Tenant:
    """A tenant that nobody has used."""
    return Tenant.fresh(http)

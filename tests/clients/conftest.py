"""Real clients against `cnr serve` with two worker processes."""

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from tests.clients.program import Helm, Program, cnr, program
from tests.clients.recorder import Recorder, recorder
from tests.protocols.cnr.client import Cnr
from tests.protocols.cnr.server import Server

_numbers = itertools.count(1)


def _serve(folder: Path) -> Iterator[Server]:
    server = Server(folder, entry="serve", workers=2)
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that these tests share, each in a namespace of its own."""
    yield from _serve(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a second server."""
    for each in _serve(tmp_path_factory.mktemp("other")):
        yield _site(each)


def _site(server: Server) -> str:
    return server.url.removeprefix("http://")


@pytest.fixture(scope="session")
def site(server: Server) -> str:
    """HOST:PORT of the server."""
    return _site(server)


@pytest.fixture(scope="session")
def http(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


@pytest.fixture
def api(http: httpx.Client) -> Cnr:
    """The CNR API of the server."""
    return Cnr(http, "/cnr")


@pytest.fixture
def namespace() -> str:
    """One that no other test has."""
    return f"clients{next(_numbers)}"


@pytest.fixture
def proxy(server: Server) -> Iterator[Recorder]:
    """The server, behind a proxy that writes down the exchanges."""
    with recorder(server.url) as running:
        yield running


@pytest.fixture
def helms(tmp_path: Path) -> dict[str, Program]:
    """Both helms, by name."""
    return {name: program(name, tmp_path) for name in ("helm3", "helm4")}


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest, tmp_path: Path, site: str) -> Helm:
    return Helm(program(request.param, tmp_path), site)


@pytest.fixture
def command(tmp_path: Path) -> Program:
    """`cnr`."""
    return cnr(tmp_path)


@pytest.fixture
def oras(tmp_path: Path) -> Program:
    return program("oras", tmp_path)


@pytest.fixture
def skopeo(tmp_path: Path) -> Program:
    # No policy file: Debian's is in a package that skopeo only recommends.
    return program("skopeo", tmp_path, "--insecure-policy")


@pytest.fixture
def crane(tmp_path: Path) -> Program:
    return program("crane", tmp_path, "--insecure")


@pytest.fixture
def cosign(tmp_path: Path) -> Program:
    return program("cosign", tmp_path, env={"COSIGN_PASSWORD": "secret"})


@dataclass(frozen=True)
class Keyrings:
    """A PGP key in the files that helm reads."""

    user: str
    secret: Path
    public: Path


@pytest.fixture(scope="session")
def keyrings(tmp_path_factory: pytest.TempPathFactory) -> Keyrings:
    """A real key, made by gpg."""
    if shutil.which("gpg") is None:
        pytest.skip("gpg is not installed (Debian: gpg and gpg-agent)")
    folder = tmp_path_factory.mktemp("keyrings")
    user = "Signer <signer@example.com>"
    found = Keyrings(user, folder / "secret.gpg", folder / "public.gpg")
    # In a folder of its own under /tmp: the path of the agent's socket may have 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="gpg") as home:
        gpg = Program(("gpg", "--batch", "--homedir", home), folder)
        gpg("--passphrase", "", "--quick-generate-key", user, "rsa2048", "sign", "never")
        gpg("--output", found.secret, "--export-secret-keys")
        gpg("--output", found.public, "--export")
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=True)
    return found


@pytest.fixture(scope="session")
def corpus(pytestconfig: pytest.Config) -> Path:
    """The folder of real packages beside the repository."""
    folder = pytestconfig.rootpath.parent / "shared" / "corpus"
    if not folder.is_dir():
        pytest.skip("the corpus is not beside this checkout")
    return folder

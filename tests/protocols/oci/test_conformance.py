"""The official conformance suite passes whole: nothing fails and nothing is skipped."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.protocols.cnr.server import Server
from tests.services.storage import ENGINES, needs_files

SUITE = "conformance"


@pytest.fixture
def suite() -> str:
    """The program that run-tests installs."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    found = shutil.which(SUITE, path=f"{os.environ['PATH']}:{cache / 'cnr-server' / 'bin'}")
    if found is None:
        pytest.skip("the OCI conformance suite is not installed: ./run-tests does that where go is")
    return found


@pytest.mark.parametrize("version", ["1.1", "dev"])
@pytest.mark.parametrize(("entry", "workers"), [("uvicorn", 1), ("serve", 2), ("gunicorn", 2)])
def test_the_suite(suite: str, entry: str, workers: int, version: str, tmp_path: Path) -> None:
    passes(suite, Server(tmp_path / "server", entry=entry, workers=workers), version)


@needs_files  # which here only says: not once more within a run over another store
@pytest.mark.parametrize("engine", ["redis", "etcd", "s3", "azure"])
def test_the_suite_over_another_store(suite: str, engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if engine in ENGINES:
        env = {"STORAGE": ENGINES[engine](), "CNR_KV_PREFIX": "conformance/"}
    else:
        env = request.getfixturevalue(engine).environment()
    passes(suite, Server(tmp_path / "server", env=env, workers=2), "1.1")


def passes(suite: str, server: Server, version: str) -> None:
    """Start the server, run the suite against it, and look that nothing was left out."""
    try:
        server.start()
        run = subprocess.run(
            [suite],
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(server.folder),
                "OCI_REGISTRY": server.url.removeprefix("http://"),
                "OCI_TLS": "disabled",
                "OCI_VERSION": version,
                "OCI_RESULTS_DIR": str(server.folder / "results"),
            },
            capture_output=True,
            text=True,
            timeout=240,
        )
    finally:
        server.kill()
    counts = {name: int(number) for name, number in re.findall(r"^ +(\w+)\.+: +(\d+)$", run.stdout, re.MULTILINE)}
    assert run.returncode == 0, run.stdout[-5000:]
    assert (counts["FAIL"], counts["Skip"]) == (0, 0), run.stdout[-5000:]
    assert counts["Pass"] > 800

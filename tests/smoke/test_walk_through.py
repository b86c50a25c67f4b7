"""The short check: ./run-server comes up as it stands, the quickstart works against it, and it ends when told.

Needs nothing but this checkout, so that it runs in a fresh clone.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.docs.console import Shell, commands, environment
from tests.services.ports import free_port

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    environ = {**os.environ, "PORT": str(port), "DATABASE_URL": str(tmp_path_factory.mktemp("store"))}
    process = subprocess.Popen([ROOT / "run-server"], cwd=os.sep, env=environ)
    try:
        wait_until_ready(process, port)
        yield process, port
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(15)


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    while True:
        assert process.poll() is None, "run-server has ended"
        try:
            if httpx.get(f"http://127.0.0.1:{port}/readyz").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.1)


def test_the_quickstart(server: tuple[subprocess.Popen[bytes], int], tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "folder"
    home.mkdir()
    folder.mkdir()
    (home / ".curlrc").write_text("silent\nshow-error\n")
    shell = Shell(folder, tmp_path / "state", environment(home, path=os.environ["PATH"]), port=server[1])
    for command in commands((ROOT / "docs" / "quickstart.md").read_text()):
        shell.run(command)


def test_the_curl_tour(server: tuple[subprocess.Popen[bytes], int]) -> None:
    tour = [str(ROOT / "Documentation" / "test.sh"), f"http://localhost:{server[1]}"]
    assert b"All answers were as expected." in subprocess.check_output(tour, timeout=60)


def test_it_ends_when_told(server: tuple[subprocess.Popen[bytes], int]) -> None:
    process = server[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0

"""Real servers in processes of their own, each with a store that is empty at first."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from tests.services.ports import free_port

START_LIMIT_S = 60
ROOT = Path(__file__).parents[2]


@contextmanager
def served(folder: Path, app: str = "cnr.api.asgi:app") -> Iterator[str]:
    """This project's server: its HOST:PORT."""
    port = free_port()
    words = (sys.executable, "-m", "uvicorn", app, "--port", str(port), "--log-level", "warning")
    settings = {"DATABASE_URL": str(folder / "data"), "STORAGE": "filesystem", "PYTHONPATH": str(ROOT)}
    with _running(words, folder, port, "/version", settings):
        yield f"127.0.0.1:{port}"


_CONFIG = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextmanager
def distribution_served(command: str, folder: Path) -> Iterator[str]:
    """The reference implementation, by the name of its command: its HOST:PORT."""
    if shutil.which(command) is None:
        pytest.skip(f"{command}, a registry to copy to and from, is not installed")
    port = free_port()
    (folder / "config.yml").write_text(_CONFIG.format(folder=folder, port=port))
    with _running((command, "serve", "config.yml"), folder, port, "/v2/", {}):
        yield f"127.0.0.1:{port}"


@contextmanager
def _running(words: Sequence[str], folder: Path, port: int, path: str, settings: dict[str, str]) -> Iterator[None]:
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(words, env=os.environ | settings, cwd=folder, stdout=log, stderr=log)
    try:
        _await(server, f"http://127.0.0.1:{port}{path}", folder / "log")
        yield
    finally:
        server.terminate()
        server.wait(30)


def _await(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and server.poll() is None:
        try:
            httpx.get(url, trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the server did not start: {log.read_text()}")

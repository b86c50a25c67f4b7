"""The command in this process, against a real server in another."""

import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cnr.cli.main import main

START_LIMIT_S = 60
_VARIABLES = ("CNR_TOKEN", "CNR_DEBUG", "APPR_URL_PREFIX", "APPR_CA_BUNDLES", "APPR_DEFAULT_MEDIA_TYPE")


@dataclass(frozen=True)
class Outcome:
    """What a run of the command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Outcome]


@pytest.fixture
def cnr(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs `cnr` with the given words, in an empty folder and without variables of the person who tests."""
    monkeypatch.chdir(tmp_path)
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)

    def run(*words: object) -> Outcome:
        capsys.readouterr()
        code = main([str(word) for word in words])
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server with an empty store: its HOST:PORT."""
    folder = tmp_path_factory.mktemp("registry")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    words = (sys.executable, "-m", "uvicorn", "cnr.api.asgi:app", "--port", str(port), "--log-level", "warning")
    environment = os.environ | {"DATABASE_URL": str(folder / "data"), "STORAGE": "filesystem"}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(words, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        _await(server, port, folder / "log")
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def _await(server: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end and server.poll() is None:
        try:
            httpx.get(f"http://127.0.0.1:{port}/version", trust_env=False)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"the server did not start: {log.read_text()}")


_numbers = itertools.count(1)


@pytest.fixture
def home(registry: str) -> str:
    """HOST:PORT/namespace with a namespace that no other test has."""
    return f"{registry}/ns{next(_numbers)}"


@pytest.fixture
def chart(tmp_path: Path) -> Callable[..., Path]:
    """Makes a chart's folder and returns it."""

    def make(name: str = "app", version: str = "1.0.0", **files: str) -> Path:
        folder = tmp_path / "charts" / f"{name}-{version}"
        (folder / "templates").mkdir(parents=True, exist_ok=True)
        head = f"apiVersion: v2\nname: {name}\nversion: {version}\ndescription: The {name} of the tests\n"
        (folder / "Chart.yaml").write_text(head)
        (folder / "templates" / "service.yaml").write_text(f"kind: Service # {version}\n")
        for path, content in files.items():
            (folder / path).write_text(content)
        return folder

    return make

"""A registry server as a real process on a free port of 127.0.0.1, with its own store folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import httpx
from tests.services import storage, store_check
from tests.services.ports import free_port

ROOT: Final = Path(__file__).parents[3]
START_S: Final = 60.0
STOP_S: Final = 20.0

Command = Callable[[int, int], Sequence[str]]
"""The command line of an entry point, from (port, number of worker processes)."""


def _uvicorn(port: int, workers: int) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "uvicorn", "cnr.api.asgi:app", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers), "--no-access-log", "--log-level", "warning"),
    )


def _gunicorn(port: int, workers: int) -> Sequence[str]:
    return (
        *(sys.executable, "-m", "gunicorn", "cnr.api.wsgi:app", "-b", f"127.0.0.1:{port}"),
        *("--workers", str(workers)),
    )


def _serve(port: int, workers: int) -> Sequence[str]:
    return (sys.executable, "-m", "cnr.cli.main", "serve", "--port", str(port), "--workers", str(workers))


ENTRIES: Final[Mapping[str, Command]] = {
    "uvicorn": _uvicorn,
    "gunicorn": _gunicorn,
    "serve": _serve,
}
"""The ways to start the server (./run-server is `cnr serve`). Source: contracts/cnr.md section 8."""


class Server:
    """One server over one store folder; may be killed and started again on the same folder and port.

    `wrapper` is a command that runs the one behind it, in its own process.
    """

    def __init__(
        self,
        folder: Path,
        *,
        entry: str = "uvicorn",
        workers: int = 1,
        env: Mapping[str, str] | None = None,
        wrapper: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.port = free_port()
        scheme = "https" if "CNR_TLS_CERT" in (env or {}) else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}"
        self._command = (*wrapper, *ENTRIES[entry](self.port, workers))
        self.settings = {
            "DATABASE_URL": str(self.store),
            **storage.environment(folder),
            **(env or {}),
        }
        """Also what a command beside it needs to find its store."""
        self._env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PORT": str(self.port),
            "WORKERS": str(workers),
            **{name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ},
            **self.settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "Server":
        """Start it and wait until it answers. Raises RuntimeError with its output if it ends before."""
        self.launch()
        return self.wait()

    def wait(self) -> "Server":
        """Wait until it answers. Raises RuntimeError as start does."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended with {self.process.returncode}: {self.output()}")
            if self._answers():
                return self
            time.sleep(0.02)
        raise RuntimeError(f"no answer in {START_S:g} s: {self.output()}")

    def launch(self) -> "subprocess.Popen[bytes]":
        """Start it without waiting for anything."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._env, stdout=log, stderr=log, start_new_session=True
            )
        return self._process

    def change(self, **settings: str) -> None:
        """Other settings for the next start."""
        self._env.update(settings)

    def stop(self) -> int:
        """End it with SIGTERM, as a process supervisor does; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            self.kill()

    def kill(self) -> None:
        """End all its processes at once with SIGKILL, as a crash does. Idempotent."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def check(self) -> None:
        """Nothing in its store may be lost or wrong: run this at the end, when nobody talks to it any more."""
        store_check.in_order(self.settings)

    def output(self) -> str:
        """What it has written so far."""
        return (self.folder / "server.log").read_text(errors="replace")

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process that was started."""
        assert self._process is not None, "not started"
        return self._process

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/version", timeout=10).status_code == 200
        except httpx.TransportError:
            return False

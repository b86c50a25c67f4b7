"""A real redis-server on a free port of 127.0.0.1, with its own folder; may be killed and started again."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, RedisError
from tests.services.ports import free_port

START_S: Final = 30.0
DURABLE: Final = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """One redis-server. By default each acknowledged write is synced to disk.

    `tls` is its certificate and key. `arguments` come first: a file of settings.
    """

    def __init__(
        self, folder: Path, *options: str, tls: tuple[Path, Path] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("redis-server is not installed")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._tls = tls
        port = "--port" if tls is None else "--tls-port"
        if tls is not None:
            self.url = f"rediss://127.0.0.1:{self.port}"
            names = ("--tls-cert-file", str(tls[0]), "--tls-key-file", str(tls[1]))
            options = (*options, "--port", "0", *names, "--tls-auth-clients", "no")
        self._command = (
            *(found, *arguments, port, str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)),
            *(() if "--sentinel" in arguments else ("--save", "", *DURABLE)),
            *options,
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> "RedisServer":
        """Start it and wait until it answers, which it does once all data is loaded."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            with suppress(RedisError), self.client() as client:
                try:
                    client.ping()
                    return self
                except AuthenticationError:
                    return self
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError(f"redis-server does not answer: {self.output()}")

    def client(self) -> "Redis":
        """A client of redis-py, for tests that look behind the store or change a setting."""
        if self._tls is not None:
            return Redis(port=self.port, socket_timeout=10, ssl=True, ssl_ca_certs=str(self._tls[0]))
        return Redis(port=self.port, socket_timeout=10)

    def stop(self) -> None:
        """End it as an operator does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash does. Idempotent."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it do nothing, with its connections open."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def output(self) -> str:
        """What it has written so far."""
        return (self.folder / "redis.log").read_text(errors="replace")

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            self._process.wait()
            self._process = None

"""Real etcd processes on free ports of 127.0.0.1."""

import json
import secrets
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from tests.services.ports import free_ports

from cnr.domain.store_url import StoreUrl
from cnr.store.drivers import Given
from cnr.store.etcd import EtcdRecords, open_records

_START_S = 60
_POOL = ThreadPoolExecutor(1)


def need(program: str) -> str:
    """Where `program` is; skips where it is not here."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


class Member:
    """One etcd. It keeps its folder and ports over stops and starts."""

    def __init__(
        self, name: str, folder: Path, ports: Sequence[int], peers: Sequence[str], options: Sequence[str] = ()
    ) -> None:
        self.name, self.folder = name, folder / name
        self.client_port, peer_port, health_port = ports
        self._health = f"http://127.0.0.1:{health_port}"
        scheme = "https" if any(option.startswith("--cert-file") for option in options) else "http"
        self.endpoint = f"127.0.0.1:{self.client_port}"
        self._command = [
            need("etcd"),
            f"--name={name}",
            f"--data-dir={self.folder}",
            f"--listen-client-urls={scheme}://{self.endpoint}",
            f"--advertise-client-urls={scheme}://{self.endpoint}",
            f"--listen-metrics-urls={self._health}",
            f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer_port}",
            f"--initial-cluster={','.join(peers)}",
            "--logger=zap",
            "--log-level=error",
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process; `wait` tells when it serves."""
        log = (self.folder.parent / f"{self.name}.log").open("ab")
        with log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it says that it is healthy: it has a leader and answers reads."""
        end = time.monotonic() + _START_S
        while True:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder.parent / f"{self.name}.log").read_text()[-2000:]
            with suppress(OSError):
                with urllib.request.urlopen(f"{self._health}/health", timeout=5) as answer:
                    if json.load(answer)["health"] == "true":
                        return
            assert time.monotonic() < end, "etcd does not start"
            time.sleep(0.02)

    def freeze(self) -> None:
        """Let it do nothing, with its connections open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        while Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            time.sleep(0.001)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """kill -9, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, path: str, **body: object) -> dict[str, object]:
        """What etcd's own JSON gateway answers (without TLS): maintenance, which the driver has no business with."""
        request = urllib.request.Request(f"http://{self.endpoint}/v3/{path}", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, object] = json.load(answer)
            return found


class Etcd:
    """A cluster of one or more members."""

    def __init__(self, folder: Path, *options: str, size: int = 1) -> None:
        ports = free_ports(3 * size)
        peers = [f"m{n}=http://127.0.0.1:{ports[3 * n + 1]}" for n in range(size)]
        self.members = [Member(f"m{n}", folder, ports[3 * n : 3 * n + 3], peers, options) for n in range(size)]
        self.start()

    def start(self) -> None:
        """Start all members, and wait until they serve."""
        for member in self.members:
            member.start()
        for member in self.members:
            member.wait()

    def kill(self) -> None:
        """kill -9 for all of them."""
        for member in self.members:
            member.kill()

    def url(self, prefix: str = "cnr", scheme: str = "etcd") -> str:
        return f"{scheme}://{','.join(member.endpoint for member in self.members)}/{prefix}"

    def leader(self) -> Member:
        """Who leads; there may be none for a moment."""
        end = time.monotonic() + _START_S
        while time.monotonic() < end:
            for member in self.members:
                with suppress(OSError):
                    status = member.ask("maintenance/status")
                    header = status["header"]
                    assert isinstance(header, dict)
                    if status.get("leader") == header["member_id"]:
                        return member
            time.sleep(0.05)
        raise AssertionError("nobody leads")


def new_id() -> str:
    return secrets.token_hex(16)


async def open_etcd(address: str) -> EtcdRecords:
    """The store at a URL, as a server opens it; other processes import this by its name."""
    return await open_records(StoreUrl.parse(address), Given("cnr/", new_id, lambda: time.time_ns() // 1000, _POOL))

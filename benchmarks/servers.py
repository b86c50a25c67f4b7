"""Servers to measure, each a process of its own on a free port of 127.0.0.1, stopped by its context manager."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WORKERS = 2

_PROGRAMS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cnr-server" / "programs"
"""Where run-tests keeps what it built."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(command: Sequence[str], port: int, log: Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """`command` while the block runs, from the moment it accepts connections on `port`; its output goes to `log`."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env={**os.environ, **environment}, start_new_session=True
        )
        try:
            _wait(process, port, log)
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended at once:\n{log.read_text()[-2000:]}")
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"{process.args!r} does not listen on {port}")


@contextmanager
def cnr(folder: Path, *, workers: int = WORKERS, **environment: str) -> Iterator[tuple[str, int]]:
    """Our server with its access log on, to a file. Yields its address and its process id."""
    port = free_port()
    settings = {"DATABASE_URL": str(folder / "data"), "CNR_ACCESS_LOG": str(folder / "access.log"), **environment}
    command = [sys.executable, "-m", "cnr.cli.main", "serve", "--port", str(port), "--workers", str(workers)]
    with running(command, port, folder / "server.log", **settings) as process:
        yield f"http://127.0.0.1:{port}", process.pid


_NGINX = """
user {user}; worker_processes {workers}; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log {folder}/nginx.log; sendfile on; keepalive_requests 1000000;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port}; root {folder}/static; }}
}}
"""


@contextmanager
def nginx(folder: Path, files: dict[str, bytes]) -> Iterator[str]:
    """nginx serving `files`, access log on."""
    port = free_port()
    static = folder / "static"
    static.mkdir(parents=True)
    for name, data in files.items():
        (static / name).write_bytes(data)
    (folder / "nginx.conf").write_text(_NGINX.format(user=getpass.getuser(), workers=WORKERS, folder=folder, port=port))
    with running([_tool("nginx"), "-c", str(folder / "nginx.conf")], port, folder / "nginx.out"):
        yield f"http://127.0.0.1:{port}"


_REGISTRY = """
version: 0.1
log: {{ accesslog: {{ disabled: false }}, level: warn }}
storage: {{ filesystem: {{ rootdirectory: {folder}/registry }}, delete: {{ enabled: true }} }}
http: {{ addr: "127.0.0.1:{port}" }}
"""


@contextmanager
def docker_registry(folder: Path) -> Iterator[str]:
    """Debian's docker-registry over a folder, access log on."""
    port = free_port()
    (folder / "registry.yml").write_text(_REGISTRY.format(folder=folder, port=port))
    with running([_tool("docker-registry"), "serve", str(folder / "registry.yml")], port, folder / "registry.log"):
        yield f"http://127.0.0.1:{port}"


_DISTRIBUTION = """
version: 0.1
log: {{ accesslog: {{ disabled: true }}, level: error }}
storage: {{ filesystem: {{ rootdirectory: {folder}/distribution }}, delete: {{ enabled: true }} }}
http: {{ addr: "127.0.0.1:{port}" }}
"""


@contextmanager
def distribution(folder: Path) -> Iterator[tuple[str, int]]:
    """distribution v3 over a folder, access log off: `go install .../distribution/v3/cmd/registry`."""
    port = free_port()
    (folder / "distribution.yml").write_text(_DISTRIBUTION.format(folder=folder, port=port))
    command = [_tool("registry"), "serve", str(folder / "distribution.yml")]
    with running(command, port, folder / "distribution.log", OTEL_TRACES_EXPORTER="none") as process:
        yield f"http://127.0.0.1:{port}", process.pid


@contextmanager
def etcd(folder: Path) -> Iterator[str]:
    """An etcd of one member; yields its address as STORAGE takes it."""
    port, peer = free_port(), free_port()
    command = [
        _tool("etcd"),
        f"--data-dir={folder}/etcd",
        f"--listen-client-urls=http://127.0.0.1:{port}",
        f"--advertise-client-urls=http://127.0.0.1:{port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
        f"--initial-cluster=default=http://127.0.0.1:{peer}",
        "--auto-compaction-retention=1h",
    ]
    with running(command, port, folder / "etcd.log"):
        time.sleep(2)  # an election
        yield f"etcd://127.0.0.1:{port}"


def _tool(name: str) -> str:
    built = ":".join(str(each) for each in _PROGRAMS.glob("*"))
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:{built}")
    if found is None:
        raise SystemExit(f"{name} is missing: docs/benchmarks.md says how to install it")
    return found


def memory_mib(pid: int) -> float:
    """Resident memory of the largest process among `pid` and its children, in MiB."""
    children = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()
    return max(_resident(int(child)) for child in (str(pid), *children))


def _resident(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return 0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS")), 0)

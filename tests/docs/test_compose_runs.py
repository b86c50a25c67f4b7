"""The example of several servers as processes: the commands, settings and proxy of the example, at other addresses.

What containers would add (images, volumes, the network between them) is not tried.
"""

import getpass
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.packages import gz, tar
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import Oci, digest
from tests.services.ports import free_ports
from tests.services.processes import need, wait_for

from .test_compose import EXAMPLES

ETCDS, SERVERS = ("etcd1", "etcd2", "etcd3"), ("server1", "server2", "server3")
OCTETS = "application/octet-stream"
LARGE = os.urandom(9 << 20)
NGINX = """
user {user}; master_process off; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  {conf}
}}
"""


@dataclass
class Site:
    """The example's processes. `ports` has those of its addresses here, by their names there."""

    folder: Path
    services: dict[str, Any]
    ports: dict[str, int]
    servers: dict[str, Server] = field(default_factory=dict)
    processes: "dict[str, subprocess.Popen[bytes]]" = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['proxy:80']}"

    def here(self, text: str, own: str = "") -> str:
        """`text` with the addresses of here; `own` is who listens at those without a name."""
        text = re.sub(r"0\.0\.0\.0:(\d+)", rf"{own}:\1", text)
        ports = self.ports
        return re.sub(r"\b\w+:\d+\b", lambda it: f"127.0.0.1:{ports[it[0]]}" if it[0] in ports else it[0], text)

    def settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The settings of a server, without what says where in its container it is."""
        found = {name: self.here(value) for name, value in environment.items()}
        del found["HOST"], found["PORT"], found["DATABASE_URL"]
        assert found["CNR_URI"] == "http://localhost:8080"
        return {**found, "CNR_URI": self.url}

    @contextmanager
    def running(self, name: str, command: list[str], port: str, **env: str) -> Iterator[None]:
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **env})
        self.processes[name] = process
        try:
            wait_for(self.ports[port], process)
            yield
        finally:
            process.kill()
            process.wait()

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait()

    def etcd(self, name: str) -> list[str]:
        need("etcd")
        return self.here(self.services[name]["command"], own=name).replace("/data", f"{self.folder}/{name}").split()

    def s3(self) -> list[str]:
        """The gateway, with a folder for what it would keep in extended attributes: not every disk has those."""
        shell, option, script = self.services["s3"]["entrypoint"]
        (self.folder / "attributes").mkdir()
        script = script.replace("/data", f"{self.folder}/s3").replace(":7070", f"127.0.0.1:{self.ports['s3:7070']}")
        script = script.replace("/usr/local/bin/versitygw", need("versitygw"))
        return [shell, option, script.replace(" posix ", f" posix --sidecar {self.folder}/attributes ")]

    def nginx(self) -> list[str]:
        conf = self.here((EXAMPLES / "nginx.conf").read_text()).replace("listen 80", f"listen {self.url[7:]}")
        path = self.folder / "nginx.conf"
        path.write_text(NGINX.format(user=getpass.getuser(), folder=self.folder, conf=conf))
        return [need("nginx"), "-c", str(path), "-e", f"{self.folder}/error.log"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    services = yaml.safe_load((EXAMPLES / "compose.yaml").read_text())["services"]
    names = [f"{name}:{port}" for name in ETCDS for port in (2379, 2380)] + ["s3:7070", "proxy:80"]
    site = Site(tmp_path, services, dict(zip(names, free_ports(len(names)), strict=True)))
    for name in SERVERS:
        env = site.settings(services[name]["environment"])
        site.servers[name] = Server(tmp_path / name, entry="serve", env=env)
        site.ports[f"{name}:5000"] = site.servers[name].port
    with ExitStack() as stack:
        # etcd listens before its cluster has a leader
        for name in ETCDS:
            stack.enter_context(site.running(name, site.etcd(name), f"{name}:2379"))
        stack.enter_context(site.running("s3", site.s3(), "s3:7070", **services["s3"]["environment"]))
        for server in site.servers.values():
            stack.callback(server.kill)
            server.launch()
        for server in site.servers.values():
            server.wait()
        stack.enter_context(site.running("nginx", site.nginx(), "proxy:80"))
        yield site


def test_the_example_serves_and_survives(site: Site) -> None:
    """Every request may go to another server: nginx gives them to each in turn."""
    with httpx.Client(base_url=site.url, timeout=60) as http:
        cnr, oci = Cnr(http, ""), Oci(http, "ns/image")
        package = gz(tar({"app/data": LARGE}), 0)
        for number in range(6):
            done(cnr.push("ns/app", f"1.{number}.0"))
            assert done(cnr.get("/ns/app"))[-1]["release"] == f"1.{number}.0"
            assert len(done(cnr.get())[0]["releases"]) == number + 1
        done(cnr.push("ns/large", media_type="kpm", blob=package))
        for _ in SERVERS:
            assert cnr.get("/ns/large/1.0.0/kpm/pull").content == package
        upload = oci.begin()
        for at in range(0, len(LARGE), 3 << 20):
            part = LARGE[at : at + (3 << 20)]
            answer = http.patch(upload, content=part, headers={"content-type": OCTETS})
            assert answer.status_code == 202, answer.text
            upload = answer.headers["location"]
        assert http.put(upload, params={"digest": digest(LARGE)}).status_code == 201
        site.kill("etcd1")
        stop(site.servers["server1"])
        for number in range(6, 12):
            done(cnr.push("ns/app", f"1.{number}.0"))
            assert done(cnr.get("/ns/app"))[-1]["release"] == f"1.{number}.0"
        assert oci.get(f"blobs/{digest(LARGE)}").content == LARGE
    assert not list(site.folder.glob("*/store/records.sqlite"))


def stop(server: Server) -> None:
    """Kill it, and wait until nobody listens: a push that a worker took in its last moment is not repeated."""
    server.kill()
    while _listens(server.port):
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0

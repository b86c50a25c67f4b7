"""Thousands of requests that real clients might have sent, but for one thing or three, against a real server.

No 5xx, no hang, errors in the shape of their protocol, nothing in the logs, memory stays, the store is whole, and what
was there before is there unchanged. A failure prints its case: `python -m tests.fuzz --help` sends it again.

CNR_LONG=1 sends twenty times as much; CNR_FUZZ_SEED takes another seed.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx
import pytest
from tests.fuzz.campaign import Caller, Campaign, processes, resident_mib
from tests.protocols.auth.world import PASSWORD, World
from tests.protocols.cnr.client import Cnr, done
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file
from tests.protocols.oci.client import Oci

LONG = os.environ.get("CNR_LONG") == "1"
REQUESTS = 50_000 if LONG else 2_500
"""For each half; schemathesis (tests/protocols/openapi) sends some thousands more."""
SEED = os.environ.get("CNR_FUZZ_SEED", "2016-11-16")
GROWTH_MIB = 100
HIDDEN = "for-no-other-eyes"
"""A word in what the callers of the second half may not see."""

PLACES = (*["team"] * 5, "other", "kept", "open")
"""Namespaces of the second half: mostly the one in which most of the callers may write."""

CHECKS = (["check"], ["check", "--deep"], ["gc", "--dry-run"])
"""Of the store, afterwards: that it works, that all in it is whole, and that a collection can read what it must."""

Kept = Mapping[str, bytes]


def keep(http: httpx.Client) -> Kept:
    """Packages by every protocol in the namespace `kept`: what each address answers."""
    cnr, tenant = Cnr(http, "/cnr"), Tenant(http, "kept")
    done(cnr.push("kept/cnr", "1.0.0", blob=chart_file("cnr", "1.0.0", description=HIDDEN)))
    assert Oci(http, "kept/oci").chart("1.0.0", extra=HIDDEN.encode()).status_code == 201
    assert tenant.push(chart_file("museum", "1.0.0", description=HIDDEN)).status_code == 201
    return looked_at(http)


def looked_at(http: httpx.Client) -> Kept:
    found: dict[str, bytes] = {}
    for name in ("cnr", "oci", "museum"):
        manifest = http.get(f"/v2/kept/{name}/manifests/1.0.0")
        found[name] = manifest.content
        paths = [f"/v2/kept/{name}/blobs/{each['digest']}" for each in manifest.json()["layers"]]
        paths += [f"/cnr/api/v1/packages/kept/{name}/1.0.0/helm/pull", f"/helm/kept/charts/{name}-1.0.0.tgz"]
        for path in paths:
            answer = http.get(path)
            assert answer.status_code == 200, path
            found[path] = answer.content
    return found


@pytest.fixture
def open_server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, entry="serve", workers=2)
    try:
        yield server.start()
    finally:
        server.kill()


def test_an_open_server(open_server: Server) -> None:
    namespaces = [f"fuzz{number}" for number in range(40)]
    with httpx.Client(base_url=open_server.url, timeout=60) as http:
        attack(open_server, http, lambda seed: Campaign(open_server.url, seed, namespaces))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World.start(tmp_path, entry="serve", workers=2)
    yield world
    world.server.kill()


def basic(name: str) -> str:
    return "Basic " + base64.b64encode(f"{name}:{PASSWORD}".encode()).decode()


def test_a_server_with_accounts(world: World) -> None:
    """Nobody who sends here has a right in the namespace `kept`, so nothing of it may show."""
    hidden = (HIDDEN.encode(),)
    names = {"nobody": "", **{name: basic(name) for name in ("will", "rita", "otto")}}
    names["narrow robot"] = world.headers["narrow robot"]["Authorization"]
    callers = [Caller(name, value, hidden) for name, value in names.items()]
    callers += [caller for caller in callers if caller.name == "will"] * 5
    with world.http(Authorization=basic("root")) as http:
        attack(world.server, http, lambda seed: Campaign(world.server.url, seed, PLACES, callers))
    said = world.server.output()
    assert PASSWORD not in said
    assert not [value for value in names.values() if value and value.partition(" ")[2] in said]


def attack(server: Server, http: httpx.Client, make: Callable[[str], Campaign]) -> None:
    before = keep(http)
    workers = processes(server.process.pid)
    faults = make(f"{SEED} warm").run(REQUESTS // 10)
    memory = resident_mib(workers)
    campaign = make(SEED)
    faults += campaign.run(REQUESTS)
    assert not faults, "\n".join([f"{len(faults)} faults", *map(str, faults[:10])])
    growth = resident_mib(workers) - memory
    print(f"{campaign.sent} requests, slowest {campaign.slowest_s:.2f} s, {sorted(campaign.statuses.items())}")
    print(f"{memory} MiB before and {growth} more after")
    assert processes(server.process.pid) == workers, "a worker has ended"
    assert growth < GROWTH_MIB
    assert sum(campaign.statuses[status] for status in (200, 201, 202, 204, 206)) > REQUESTS / 5, "it hits nothing"
    assert looked_at(http) == before
    no_words(server)
    whole(server)


def no_words(server: Server) -> None:
    """What strangers send is in no log, and no part of the server failed. A chart that no index can list is said so."""
    said = server.output()
    for word in ("Traceback", " ERROR ", "X-Injected", "\x1b", "\x00"):
        assert word not in said, said[-3000:]
    warnings = [line for line in said.splitlines() if " WARNING " in line]
    assert not [line for line in warnings if "is left out of index.yaml" not in line]


def whole(server: Server) -> None:
    """The store's own checks, beside the running server."""
    for words in CHECKS:
        run = subprocess.run(
            [sys.executable, "-m", "cnr.cli.main", "storage", *words],
            env={**os.environ, **server.settings},
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert run.returncode == 0, run.stdout + run.stderr

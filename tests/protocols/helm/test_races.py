"""Pushes and index fetches at once: every index that is fetched is whole, and has what was acknowledged before."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.helm.client import Tenant, chart_file, helm_push

CLIENTS = 8
EACH = 60 if os.environ.get("CNR_LONG") else 12


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, workers=2)
    yield server
    server.check()


def test_eight_push_while_eight_fetch(server: Server) -> None:
    server.start()
    try:
        acknowledged: set[tuple[str, str]] = set()
        lock, done = threading.Lock(), threading.Event()

        def push(number: int) -> None:
            with httpx.Client(base_url=server.url, timeout=60) as http:
                tenant = Tenant(http, "race")
                for each in range(EACH):
                    name, version = f"app{number % 3}", f"{number}.0.{each}"
                    data = chart_file(name, version)
                    answer = tenant.push(data) if each % 2 else helm_push(tenant.oci(name), data, version)
                    assert answer.status_code == 201, answer.text
                    with lock:
                        acknowledged.add((name, version))

        def fetch(number: int) -> int:
            fetched, tag = 0, ""
            with httpx.Client(base_url=server.url, timeout=60) as http:
                while not done.is_set() or fetched == 0:
                    with lock:
                        before = set(acknowledged)
                    headers = {"if-none-match": tag} if tag and number % 2 else {}
                    answer = http.get("/helm/race/index.yaml", headers=headers)
                    if answer.status_code == 304:
                        continue
                    tag = answer.headers["etag"]
                    entries = answer.json()["entries"]
                    listed = Counter((name, each["version"]) for name, found in entries.items() for each in found)
                    assert before <= listed.keys()
                    assert max(listed.values(), default=1) == 1
                    fetched += 1
            return fetched

        with ThreadPoolExecutor(2 * CLIENTS) as pool:
            fetches = [pool.submit(fetch, number) for number in range(CLIENTS)]
            pushes = [pool.submit(push, number) for number in range(CLIENTS)]
            try:
                for each in pushes:
                    each.result()
            finally:
                done.set()
            assert all(each.result() for each in fetches)
        with httpx.Client(base_url=server.url) as http:
            listed = {(name, each) for name in ("app0", "app1", "app2") for each in Tenant(http, "race").versions(name)}
        assert listed == acknowledged
    finally:
        server.kill()


def test_one_version_by_two_protocols_at_once(server: Server) -> None:
    """One wins; the index has the version once, and its digest is that of what is served. (GHSA-jm56-5h66-w453)"""
    server.start()
    try:
        with httpx.Client(base_url=server.url, timeout=60) as http, ThreadPoolExecutor(2) as pool:
            tenant = Tenant(http, "twice")
            for number in range(EACH):
                version = f"1.0.{number}"
                first, second = chart_file("app", version), chart_file("app", version, description="other")
                classic = pool.submit(tenant.push, first)
                oci = pool.submit(helm_push, tenant.oci("app"), second, version)
                statuses = classic.result().status_code, oci.result().status_code
                assert statuses in ((201, 403), (409, 201)), statuses
                served = tenant.get(f"charts/app-{version}.tgz").content
                assert served == (first if statuses[0] == 201 else second)
            assert len(tenant.versions("app")) == EACH
    finally:
        server.kill()

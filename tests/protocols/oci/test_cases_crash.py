"""Case 107 of contracts/oci-helm.md: kill -9 between and inside the requests of a push shows all of it or nothing."""

import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import Oci, chart_archive, digest

LONG = os.environ.get("CNR_LONG") == "1"
KILLS = 200 if LONG else 12
PUSHERS = 6


@dataclass
class Load:
    """Pushes charts as helm does until the server is gone."""

    url: str
    run: int
    sent: list[tuple[str, str]] = field(default_factory=list)
    acknowledged: list[tuple[str, str]] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def push(self, number: int) -> None:
        name = f"crash/run{self.run}-{number}"
        with httpx.Client(base_url=self.url, timeout=20) as http:
            for patch in range(10_000):
                version = f"1.0.{patch}"
                self.sent.append((name, version))
                try:
                    answer = Oci(http, name).chart(version, extra=extra(name, version))
                except (httpx.TransportError, AssertionError) as exc:
                    if isinstance(exc, AssertionError):
                        self.wrong.append(str(exc))
                    return
                if answer.status_code != 201:
                    self.wrong.append(answer.text)
                    return
                self.acknowledged.append((name, version))


def extra(name: str, version: str) -> bytes:
    """Some charts are kept in a record, some in a file."""
    chance = random.Random(f"{name} {version}")
    return chance.randbytes(chance.choice([100, 30_000]))


def whole(http: httpx.Client, name: str, version: str) -> bool:
    """Whether this release is there, in all views or in none."""
    oci = Oci(http, name)
    archive = chart_archive(name.rpartition("/")[2], version, extra=extra(name, version))
    shown = oci.get(f"manifests/{version}")
    listed = oci.get("tags/list")
    pulled = http.get(f"/api/v1/packages/{name}/{version}/helm/pull")
    there = {
        shown.status_code == 200,
        listed.status_code == 200 and version in listed.json()["tags"],
        pulled.status_code == 200,
    }
    assert len(there) == 1, (name, version, shown.status_code, listed.text, pulled.status_code)
    if shown.status_code == 200:
        assert digest(shown.content) == shown.headers["docker-content-digest"]
        assert pulled.content == archive
        assert oci.get(f"blobs/{digest(archive)}").content == archive
        assert oci.get(f"blobs/{shown.json()['config']['digest']}").status_code == 200
    return shown.status_code == 200


@pytest.mark.timeout(KILLS * 30)
def test_case_107_kill_9_during_pushes(tmp_path: Path) -> None:
    server = Server(tmp_path, entry="serve", workers=2)
    chance = random.Random()
    acknowledged: list[tuple[str, str]] = []
    try:
        server.start()
        for run in range(KILLS):
            load = Load(server.url, run)
            threads = [threading.Thread(target=load.push, args=(number,)) for number in range(PUSHERS)]
            for thread in threads:
                thread.start()
            # On a loaded machine the time below may be too short for any push at all: some runs see one end first.
            while run % 4 == 0 and not load.acknowledged and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            time.sleep(chance.uniform(0.05, 0.6))
            server.kill()
            for thread in threads:
                thread.join()
            assert load.wrong == []
            server.check()
            server.start()
            with httpx.Client(base_url=server.url, timeout=60) as http:
                there = {each for each in load.sent if whole(http, *each)}
            assert there >= set(load.acknowledged)
            acknowledged += load.acknowledged
        with httpx.Client(base_url=server.url, timeout=60) as http:
            assert all(whole(http, *each) for each in acknowledged)
    finally:
        server.kill()
    assert acknowledged

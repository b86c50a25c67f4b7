"""kill -9 of the whole server under load: what was acknowledged is there and whole, nothing else is half there."""

import http.client
import json
import os
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.client import Cnr, done, error_of
from tests.protocols.cnr.packages import b64, gz, tar, tar_digest
from tests.protocols.cnr.server import Server

LONG = os.environ.get("CNR_LONG") == "1"
KILLS = 200 if LONG else 20
PUSHERS = 8
CHECKED = 5
"""Of so many crashes one is followed by a check of the whole store, before any server mends what it finds."""


@dataclass(frozen=True)
class Push:
    """One push; the blob of each is made from its name, so that it need not be kept."""

    package: str
    release: str
    format: str

    @property
    def blob(self) -> bytes:
        """From 200 bytes to 60 KiB: some are kept in a record, some in a file."""
        name = f"{self.package} {self.release} {self.format}"
        size = random.Random(name).choice([10, 1000, 15_000, 30_000, 60_000])
        return gz(tar({"app/name": name.encode(), "app/noise": random.Random(name).randbytes(size)}), 0)


@dataclass
class Load:
    """Pushers that go on until the server dies, and what they were told."""

    port: int
    run: int
    acknowledged: list[Push] = field(default_factory=list)
    unanswered: list[Push] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def start(self) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._push, args=(number,)) for number in range(PUSHERS)]
        for thread in threads:
            thread.start()
        return threads

    def _push(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for count in range(10**6):
            package = f"crash/run{self.run}-{number}-{count // 10}"
            push = Push(package, f"1.{count // 2}.0", ("helm", "kpm")[count % 2])
            body = {"blob": b64(push.blob), "release": push.release, "media_type": push.format}
            try:
                connection.request("POST", f"/api/v1/packages/{push.package}", json.dumps(body))
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                self.unanswered.append(push)
                connection.close()
                return
            if answer.status == 200:
                self.acknowledged.append(push)
            else:
                self.wrong.append(answer.status)


def whole(cnr: Cnr, push: Push) -> bool:
    """Whether the push is there; if anything of it is, all of it must be."""
    shown = cnr.show(push.package, push.release, push.format)
    if shown.status_code != 200:
        assert shown.status_code == 404, shown.content
        assert error_of(shown)["code"] in ("package-not-found", "package-release-not-found")
        return False
    content = done(shown)["content"]
    assert (content["digest"], content["size"]) == (tar_digest(push.blob), len(push.blob))
    assert cnr.get(f"/{push.package}/{push.release}/{push.format}/pull").content == push.blob
    return True


def releases(cnr: Cnr, query: str) -> dict[str, set[tuple[str, str]]]:
    """What the packages say that they have; it must be what the list and the search say."""
    found = {}
    for item in done(cnr.get(params={"query": query})):
        manifests = done(cnr.get(f"/{item['name']}"))
        found[item["name"]] = {(m["release"], m["mediaType"].split(".")[-3]) for m in manifests}
        assert {release for release, _ in found[item["name"]]} == set(item["releases"])
    assert sorted(found) == done(cnr.get("/search", params={"q": query}))
    return found


@pytest.mark.timeout(KILLS * 30)
def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    server = Server(tmp_path, entry="serve", workers=2)
    chance = random.Random()
    acknowledged: list[Push] = []
    try:
        server.start()
        for run in range(KILLS):
            load = Load(server.port, run)
            threads = load.start()
            # On a loaded machine the time below may be too short for any push at all: some runs see one end first.
            while run % 4 == 0 and not load.acknowledged and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            time.sleep(chance.uniform(0.02, 0.6))
            server.kill()
            for thread in threads:
                thread.join()
            assert load.wrong == []
            if run % CHECKED == 0:
                server.check()
            server.start()
            check_last(server, load)
            acknowledged += load.acknowledged
        check_all(server, acknowledged)
    finally:
        server.kill()
    server.check()


def check_last(server: Server, load: Load) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        cnr = Cnr(client, "")
        there = {push for push in (*load.acknowledged, *load.unanswered) if whole(cnr, push)}
        assert there >= set(load.acknowledged)
        found = releases(cnr, f"crash/run{load.run}-")
        listed = {Push(name, *entry) for name, entries in found.items() for entry in entries}
        assert listed == there


def check_all(server: Server, acknowledged: list[Push]) -> None:
    """The kills that came later took nothing away."""
    assert acknowledged
    with httpx.Client(base_url=server.url, timeout=60) as client:
        cnr = Cnr(client, "")
        found = releases(cnr, "crash/run")
        assert all((push.release, push.format) in found[push.package] for push in acknowledged)
        assert all(whole(cnr, push) for push in random.sample(acknowledged, min(200, len(acknowledged))))

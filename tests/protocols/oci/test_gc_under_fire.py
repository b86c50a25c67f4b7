"""Garbage collection while clients push, delete, re-push and mount, over two servers that are killed at random."""

import json
import os
import random
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.server import ROOT, Server
from tests.protocols.oci.fire import Client, Watcher, World, started
from tests.services import storage, store_check
from tests.services.store_check import CUT_OFF

from cnr.registry.deep_check import PAUSE_S

LONG = os.environ.get("CNR_LONG") == "1"
KILLS = 200 if LONG else 20
CLIENTS = 8
GRACE_S = 1


class Collecting:
    """`cnr storage gc`, again and again."""

    def __init__(self, world: World, server: Server) -> None:
        self._world = world
        own = {"DATABASE_URL": str(server.store), "CNR_GC_GRACE": str(GRACE_S)}
        self._env = {**os.environ, **own, **storage.environment(server.folder)}
        self.removed = 0

    def run(self) -> None:
        command = (sys.executable, "-m", "cnr.cli.main", "storage", "gc", "--output", "json")
        while not self._world.stop.is_set():
            done = subprocess.run(command, cwd=ROOT, env=self._env, capture_output=True, text=True, check=False)
            if done.returncode:
                self._world.wrong.append(f"cnr storage gc: {done.stderr}")
                return
            report = json.loads(done.stdout)
            self.removed += sum(found.get("blobs", 0) for found in report["repositories"].values())


class Checking:
    """`cnr storage check --deep`, again and again, beside all that."""

    def __init__(self, world: World, server: Server) -> None:
        self._world = world
        self._settings = server.settings
        self.times = 0

    def run(self) -> None:
        while not self._world.stop.is_set():
            try:
                store_check.in_order(self._settings, pause_s=PAUSE_S, but={CUT_OFF})
            except AssertionError as exc:
                self._world.wrong.append(f"cnr storage check: {exc}")
            self.times += 1


def delete_again(server: Server) -> None:
    """What the check tells an operator to do about that: send the DELETE once more."""
    found = store_check.in_order(server.settings, but={CUT_OFF}).findings
    server.start()
    try:
        for finding in found:
            if finding.rule == CUT_OFF:
                repository = finding.where.split("/")[1].replace("!", "/")
                digest = finding.problem.split()[2]
                httpx.delete(f"{server.url}/v2/{repository}/manifests/{digest}", timeout=60)
    finally:
        server.kill()


@pytest.mark.timeout(KILLS * 30)
def test_gc_under_fire(tmp_path: Path) -> None:
    """No tag without its bytes; no 400 for what a HEAD has just seen; nothing that was acknowledged is lost."""
    env = {"CNR_GC_GRACE": str(GRACE_S), "CNR_GC_INTERVAL": "1", "CNR_ACCESS_LOG": "off"}
    servers = [Server(tmp_path, entry="serve", env=env) for _ in range(2)]
    chance = random.Random()
    world = World([server.url for server in servers], GRACE_S)
    collecting, checking = Collecting(world, servers[0]), Checking(world, servers[0])
    threads = []
    try:
        for server in servers:
            server.start()
        clients = [Client(world, number) for number in range(CLIENTS)]
        threads = started(*(client.run for client in clients), Watcher(world).run, collecting.run, checking.run)
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.3, 1.5))
            server = chance.choice(servers)
            server.kill()
            server.start()
            assert world.wrong == []
    finally:
        world.stop.set()
        for thread in threads:
            thread.join()
        print(dict(world.counts), collecting.removed, checking.times)
        with closing(Watcher(world)) as watcher:
            watcher.look()
        for server in servers:
            server.kill()
    assert world.wrong == []
    delete_again(servers[0])
    servers[0].check()
    assert checking.times > 0
    assert collecting.removed > 0, "nothing was collected under fire"
    assert world.counts["pushed in time"] > KILLS

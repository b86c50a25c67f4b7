"""`cnr storage gc` on a folder, `cnr storage check` on a folder and on redis."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.registry.conftest import APP, chart
from tests.registry.gc_world import HELM, RELEASES
from tests.services.object_stores import ObjectServer
from tests.services.redis import RedisServer

from cnr.cli.store_options import load, with_registry
from cnr.registry.registry import Registry

Run = Callable[..., Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store without grace in which a release was deleted, and another was not."""

    async def fill(registry: Registry) -> None:
        for release in RELEASES:
            await registry.publisher.publish(APP, release, HELM, chart(release))
        await registry.packages.delete(APP, RELEASES[0], "helm")

    with_registry(load({"database_url": str(tmp_path / "data")}), fill)
    return tmp_path / "data"


def test_a_dry_run_and_a_run(cnr: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNR_GC_GRACE", "0")
    gc = ("storage", "gc", "--database-url", folder)
    said = cnr(*gc, "--dry-run")
    assert said.code == 0
    heading, row, total = said.out.splitlines()
    kinds = ["TAGS", "MANIFESTS", "REFERRERS", "CONTENTS", "BLOBS", "UPLOADS"]
    assert heading.split() == ["REPOSITORY", *kinds, "BYTES"]
    assert row.split()[:6] == ["ns/app", "1", "1", "0", "1", "2"]
    assert total.startswith("Would remove 5 records and 0 files that no record names: ")
    done = cnr(*gc, "--output", "json").json
    assert (done["dry_run"], done["records"]) == (False, 5)
    assert done["repositories"]["ns/app"]["blobs"] == 2
    assert json.loads(cnr(*gc, "--output", "json").out)["records"] == 0


def test_nothing_goes_before_a_day(cnr: Run, folder: Path) -> None:
    assert cnr("storage", "gc", "--database-url", folder).out.startswith("Removed 0 records")


def test_a_grace_that_servers_do_not_have_is_refused(cnr: Run, folder: Path) -> None:
    refused = cnr("storage", "gc", "--database-url", folder, "--grace", "60")
    assert (refused.code, refused.out) == (2, "")
    assert "count on 3,600 seconds" in refused.err
    assert cnr("storage", "gc", "--database-url", folder, "--grace", "3600").code == 0


def test_check_of_a_folder(cnr: Run, tmp_path: Path) -> None:
    folder = str(tmp_path / "store")
    said = cnr("storage", "check", "--database-url", folder)
    assert said.code == 0
    for words in (
        f"records in file://{folder}",
        "SQLite",
        "survives a power loss",
        "MEDIAN MS",
        "what a store must",
    ):
        assert words in said.out
    found = json.loads(cnr("storage", "check", "--database-url", folder, "--output", "json").out)
    assert found["records"] == found["blobs"] == f"file://{folder}"
    assert {fact["name"] for fact in found["facts"]} == {"engine", "durability", "files", "disk"}
    assert {call["call"] for call in found["latencies"]} > {"get", "put", "scan", "head"}


def test_check_of_a_redis_that_should_be_set_up_better(cnr: Run, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis", "--appendfsync", "everysec")
    try:
        redis.start()
        check = ("storage", "check", "--database-url", str(tmp_path / "local"), "--storage")
        found = json.loads(cnr(*check, redis.url, "--output", "json").out)
        facts = {fact["name"]: fact for fact in found["facts"]}
        assert "a power loss takes up to a second" in facts["durability"]["value"]
        assert "always" in facts["durability"]["warning"]
        assert "warning: memory: set maxmemory" in cnr(*check, redis.url).out
        with redis.client() as client:
            client.config_set("maxmemory-policy", "allkeys-lru")
        refused = cnr(*check, redis.url.replace("//", "//u:secret@"))
        assert refused.code == 1
        refused = cnr(*check, redis.url)
        assert (refused.code, refused.out) == (1, "")
        assert "maxmemory-policy allkeys-lru" in refused.err
    finally:
        redis.kill()
    gone = cnr(*check, redis.url.replace("//", "//u:secret@"))
    assert gone.code == 1
    assert "secret" not in gone.err
    assert "Traceback" not in gone.err


@pytest.mark.parametrize("kind", ["s3", "azure"])
def test_check_of_an_object_store(cnr: Run, kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    store: ObjectServer = request.getfixturevalue(kind)
    where = store.address()
    check = ("storage", "check", "--database-url", str(tmp_path / "local"), "--blob-storage", where)
    found = cnr(*check, "--output", "json").json
    facts = {fact["name"]: fact for fact in found["facts"]}
    assert facts["bucket"]["value"] == where.partition("?")[0] + "/"
    assert facts["endpoint"]["value"] == store.endpoint
    assert facts["presigned URLs"]["value"].startswith("work, under http://127.0.0.1:")
    assert facts["clock"]["value"] == "within a second of this host's"
    assert facts["large files"]["value"].startswith("in parts of 8 MiB")
    assert {fact["warning"] for name, fact in facts.items() if name != "disk"} == {""}
    calls = {call["call"] for call in found["latencies"]}
    assert calls > {"put of a file", "read of a file", "read of a part of a file", "delete of a file"}
    said = cnr(*check)
    assert (said.code, said.err) == (0, "")
    assert "?" not in said.out.replace(where, ""), "a presigned URL"
    gone = cnr(*check[:-1], where.replace("//cnr/", "//other/"))
    assert gone.code == 1
    assert "no such bucket" in gone.err

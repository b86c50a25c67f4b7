"""Case 84 over redis: every entry, several servers of one store, and what they say while it is away.

Source: contracts/cnr.md case 84; architecture, section 2 (rule 5: unreachable is 503, not old data).
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.case_84 import two_servers
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.conftest import NewServer
from tests.protocols.cnr.packages import chart, gz, tar
from tests.protocols.cnr.server import ROOT
from tests.services.redis import RedisServer
from tests.services.storage import ENGINES, needs_files

pytestmark = needs_files  # which here only says: not once more within a run over another store

OCTETS = "application/octet-stream"
SUITES = ("tests/protocols/cnr", "tests/protocols/oci")
LONG = (
    "test_crash",
    "test_corpus",
    "test_clients",
    "test_hostile",
    "test_conformance",
    "test_races",
    "test_quirks",
    "test_gc_under_fire",
    "test_cases_crash",
    "test_hostile_sizes",
)
"""What takes long and asks nothing that the cases do not ask of a store, or is run by itself."""
LIMIT_S = 3600 if os.environ.get("CNR_LONG") else 280
WITH_A_BUCKET = (
    *("cnr/test_cases_push", "cnr/test_cases_read", "cnr/test_cases_delete", "cnr/test_large"),
    *("oci/test_cases_blobs", "oci/test_cases_one_model"),
)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis")
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def new_server(redis: RedisServer, new_server: NewServer) -> NewServer:
    """As everywhere; redis outlives the servers, whose stores are looked at in the end."""
    return new_server


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn", "serve"])
def test_case_84_redis_through_every_entry(new_server: NewServer, redis: RedisServer, entry: str) -> None:
    env = {"STORAGE": "redis", "REDIS_HOST": f"127.0.0.1:{redis.port}"}
    two_servers(new_server, entry, env, redis.url)


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn"])
def test_a_store_that_goes_away_and_comes_back(new_server: NewServer, redis: RedisServer, entry: str) -> None:
    server = new_server(entry=entry, env={"STORAGE": redis.url})
    with httpx.Client(base_url=server.url, timeout=60) as http:
        cnr = Cnr(http, "")
        done(cnr.push("ns/app"))
        redis.kill()
        reads = (
            "/api/v1/packages",
            "/api/v1/packages/ns/app/1.0.0/helm",
            "/v2/ns/app/tags/list",
            "/readyz",
        )
        for path in reads:
            answer = http.get(path)
            assert answer.status_code == 503, (path, answer.text)
            assert int(answer.headers["retry-after"]) > 0
        refused(cnr.push("ns/app", "2.0.0"), 503, "unavailable")
        assert http.get("/healthz").status_code == 200  # it lives: to start it anew would help nobody
        redis.start()
        assert http.get("/readyz").status_code == 200
        done(cnr.show("ns/app"))
        assert [item["name"] for item in done(cnr.get())] == ["ns/app"]
        done(cnr.push("ns/app", "2.0.0"))


def test_a_file_that_is_too_large_for_the_store(new_server: NewServer, redis: RedisServer) -> None:
    server = new_server(env={"STORAGE": redis.url, "CNR_MAX_CHUNKED_BLOB": "1MiB"})
    large = gz(tar({"app/noise": os.urandom(2 << 20)}), 0)
    with httpx.Client(base_url=server.url, timeout=60) as http:
        answer = Cnr(http, "").push("ns/app", blob=large)
        refused(answer, 413, "payload-too-large")
        assert answer.json()["error"]["details"]["limit"] == 1 << 20
        begun = http.post("/v2/ns/app/blobs/uploads/")
        part = http.patch(begun.headers["location"], content=large, headers={"Content-Type": OCTETS})
        assert part.status_code == 413
        assert part.json()["errors"][0]["code"] == "SIZE_INVALID"
        done(Cnr(http, "").push("ns/app", blob=chart()))
    with redis.client() as client:
        left = [key for key in client.scan_iter("*chunk*") if b"chunked/" in key or b"chunks/" in key]
    assert left == []


def test_a_server_starts_on_a_full_redis(new_server: NewServer, redis: RedisServer) -> None:
    """It serves what is there, refuses what would be new, and takes it as soon as there is room."""
    with httpx.Client(base_url=new_server("one", env={"STORAGE": redis.url}).url, timeout=60) as http:
        done(Cnr(http, "").push("ns/app"))
    with redis.client() as client:
        client.config_set("maxmemory", "1mb")
        server = new_server("two", env={"STORAGE": redis.url})
        assert "what is pushed will be refused" in server.output()
        with httpx.Client(base_url=server.url, timeout=60) as http:
            cnr = Cnr(http, "")
            assert http.get("/readyz").status_code == 200
            done(cnr.show("ns/app"))
            assert [item["name"] for item in done(cnr.get())] == ["ns/app"]
            assert cnr.push("ns/app", "2.0.0").status_code == 507
            client.config_set("maxmemory", "0")
            done(cnr.push("ns/app", "2.0.0"))


def test_a_password_is_not_logged(new_server: NewServer, redis: RedisServer) -> None:
    with redis.client() as client:
        client.config_set("requirepass", "hunter2")
    server = new_server(
        entry="serve",
        env={"STORAGE": redis.url.replace("//", "//:hunter2@"), "CNR_LOG_LEVEL": "debug"},
        checked=False,
    )
    with httpx.Client(base_url=server.url, timeout=60) as http:
        done(Cnr(http, "").push("ns/app"))
        redis.kill()
        assert http.get("/readyz").status_code == 503
    assert redis.url in server.output()
    assert "hunter2" not in server.output()


@pytest.mark.parametrize("engine", ENGINES)
def test_the_cases_hold_over_another_store(engine: str) -> None:
    """The suites of both protocols anew, their servers on another store, through one entry each."""
    ignored = [f"--ignore={path}" for suite in SUITES for name in LONG if (path := f"{suite}/{name}.py")]
    over(engine, *SUITES, *ignored)


@pytest.mark.parametrize("engine", ENGINES)
def test_case_107_over_another_store(engine: str) -> None:
    over(engine, "tests/protocols/oci/test_cases_crash.py")


@pytest.mark.parametrize("engine", ENGINES)
def test_what_was_taken_back_is_gone_over_another_store(engine: str) -> None:
    """Users, groups, tokens and visibility, changed beside the server; of each user the one who is in a group."""
    over(engine, "tests/protocols/auth/test_revoked.py", but="direct")


@pytest.mark.parametrize("engine", ENGINES)
def test_some_cases_hold_with_files_in_a_bucket(engine: str) -> None:
    over(f"{engine}+s3", *(f"tests/protocols/{name}.py" for name in WITH_A_BUCKET))


def over(storage: str, *words: str, but: str = "s3") -> None:
    """Run these tests anew, their servers on another store, through one entry."""
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    only = ["-k", f"not gunicorn and not uvicorn-prefixed and not serve-bare and not {but}"]
    env = {**os.environ, "CNR_TEST_STORAGE": storage}
    env.pop("CI", None)  # where a test that needs files is skipped
    done = subprocess.run(
        [*run, *only], cwd=ROOT, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:]

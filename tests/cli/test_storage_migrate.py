"""`cnr storage migrate` and `upgrade`: a registry moves, is killed meanwhile, and answers as before everywhere."""

import base64
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.protocols.cnr.server import Server
from tests.protocols.oci.client import Oci, image
from tests.services.object_stores import S3_KEYS, ObjectServer
from tests.services.redis import RedisServer

Run = Callable[..., Any]
Answers = dict[str, tuple[int, bytes, str]]

EVERY = 4
"""Which of the corpus's packages are taken."""
LAYER = random.Random(3).randbytes(9 * 1024 * 1024)
CORPUS = Path(__file__).parents[3] / "shared" / "corpus"


def fill(server: Server) -> None:
    """Packages by the CNR API, charts and images by OCI, channels, a referrer, and something deleted."""
    with httpx.Client(base_url=server.url, timeout=60) as http:
        for entry in json.loads((CORPUS / "index.json").read_text())[::EVERY]:
            blob = base64.b64encode((CORPUS / entry["file"]).read_bytes()).decode()
            body = {"release": entry["release"], "media_type": entry["format"], "blob": blob}
            answer = http.post(f"/api/v1/packages/{entry['package']}", json=body)
            assert answer.status_code == 200, answer.text
            http.post(f"/api/v1/packages/{entry['package']}/channels/stable/{entry['release']}")
        oci = Oci(http, "oci/mixed")
        oci.chart("1.0.0")
        oci.chart("1.1.0+b2")
        subject = oci.image("large", LAYER)
        referrer = image(config=b"{}", subject={"mediaType": "m", "digest": sha(subject), "size": len(subject)})
        assert oci.put(sha(referrer), referrer).status_code == 201
        oci.image("gone", b"g" * 100_000)
        assert oci.call("DELETE", "manifests/gone").status_code == 202
        assert http.delete(f"/api/v1/packages/{oci.name}/1.0.0/helm").status_code == 200


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def answers(server: Server) -> Answers:
    """What every protocol says of everything that it lists."""
    found: Answers = {}
    with httpx.Client(base_url=server.url, timeout=60) as http:

        def get(path: str, **options: Any) -> httpx.Response:
            answer = http.get(path, **options)
            names = ("content-type", "etag", "docker-content-digest", "content-length")
            found[path] = (answer.status_code, answer.content, str([answer.headers.get(name) for name in names]))
            return answer

        for package in get("/api/v1/packages").json():
            path = f"/api/v1/packages/{package['name']}"
            get(f"{path}/channels")
            for release in get(path).json():
                one = f"{path}/{release['release']}/{release['content']['mediaType'].split('.')[-3]}"
                get(f"{path}/{release['release']}")
                get(f"{one}/pull")
                get(one)
        get("/api/v1/search?q=a")
        for name in get("/v2/_catalog?n=1000").json()["repositories"]:
            for tag in get(f"/v2/{name}/tags/list").json()["tags"]:
                manifest = get(f"/v2/{name}/manifests/{tag}")
                get(f"/v2/{name}/referrers/{manifest.headers['docker-content-digest']}")
                named = manifest.json()
                for blob in (named.get("config"), *named.get("layers", ())):
                    if blob:
                        get(f"/v2/{name}/blobs/{blob['digest']}")
                for child in named.get("manifests", ()):
                    get(f"/v2/{name}/manifests/{child['digest']}")
    return found


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path / "redis").start()
    yield server
    server.kill()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:

        def begin(name: str, **env: str) -> Server:
            server = Server(tmp_path / name, env=env)
            stack.callback(server.kill)
            return server.start()

        yield begin


def killed(command: list[str], ready: Callable[[], bool]) -> bool:
    """Run until `ready`, and kill it then. Whether it was still running."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None and not ready():
            time.sleep(0.001)
        child.kill()
        return child.wait() == -signal.SIGKILL


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of packages is not beside the repository")
def test_to_redis_and_s3_and_back_with_kills(
    cnr: Run, start: Callable[..., Server], redis: RedisServer, s3: ObjectServer, tmp_path: Path
) -> None:
    source = start("source")
    fill(source)
    before = answers(source)
    assert len(before) > 150
    assert {status for status, _, _ in before.values()} == {200}
    source.stop()
    bucket = s3.address("moved")
    target = (str(source.store), redis.url, "--to-blobs", bucket)
    dry = cnr("storage", "migrate", *target, "--dry-run", "--output", "json").json
    assert dry["dry_run"]
    assert dry["files"] > 15
    kills = 0
    for wanted in (1, 5, dry["files"] // 2):
        command = [sys.executable, "-m", "cnr.cli.main", "storage", "migrate", "--jobs", "1", *target]
        kills += killed(command, lambda wanted=wanted: files(s3.bucket / "moved") >= wanted)  # type: ignore[misc]
    assert kills == 3
    opened = {"STORAGE": redis.url, **s3.environment(bucket)}
    with pytest.raises(RuntimeError, match="a migration to this store is not finished"):
        start("moved", **opened)
    done = cnr("storage", "migrate", *target)
    assert (done.code, done.err) == (0, "")
    assert "Start servers on the target" in done.out
    assert cnr("storage", "migrate", *target).code == 1  # it is the target's own now
    moved = start("moved", **opened)
    assert answers(moved) == before
    moved.stop()
    moved.check()
    back = cnr("storage", "migrate", redis.url, tmp_path / "back" / "store", "--from-blobs", bucket, "--output", "json")
    assert back.json == {**dry, "dry_run": False, "finished": True}
    assert answers(start("back")) == before


def files(folder: Path) -> int:
    return sum(1 for path in folder.glob("blobs/*/*") if path.is_file())


def test_what_cannot_be_migrated(cnr: Run, start: Callable[..., Server], tmp_path: Path) -> None:
    nothing = cnr("storage", "migrate", tmp_path / "nothing", tmp_path / "to")
    assert (nothing.code, nothing.err) == (1, f"cnr: there is no store in {tmp_path / 'nothing'}\n")
    assert not (tmp_path / "nothing").exists()
    source = start("source")
    source.stop()
    same = cnr("storage", "migrate", source.store, f"file://{source.store}")
    assert (same.code, "are the same store" in same.err) == (2, True)
    secret = cnr("storage", "migrate", source.store, "floppy://me:secret@h")
    assert secret.code == 2
    assert "secret" not in secret.err
    assert cnr("storage", "migrate", source.store, tmp_path / "to").code == 0
    (tmp_path / "to" / "records.sqlite").rename(tmp_path / "gone")
    shutil.rmtree(tmp_path / "to")


def test_damage_has_a_code_of_its_own(cnr: Run, start: Callable[..., Server], tmp_path: Path) -> None:
    source = start("source")
    with httpx.Client(base_url=source.url) as http:
        Oci(http, "oci/app").blob(b"x" * 20_000)
    source.stop()
    [file] = [path for path in (source.store / "blobs").glob("??/*") if path.is_file()]
    file.write_bytes(b"y" * 20_000)
    failed = cnr("storage", "migrate", source.store, tmp_path / "to")
    assert failed.code == 7
    assert "do not hash to its digest" in failed.err
    left = cnr("storage", "migrate", source.store, tmp_path / "to", "--leave-damaged", "--output", "json")
    assert left.code == 0
    assert list(left.json["damaged"].values()) == ["its bytes do not hash to its digest"]


def test_upgrade_says_what_it_does(cnr: Run, start: Callable[..., Server]) -> None:
    source = start("source")
    source.stop()
    for options in ((), ("--dry-run",)):
        done = cnr("storage", "upgrade", "--database-url", source.store, *options)
        assert done.code == 0
        assert done.out == "The store is written in format 1, the newest that this version knows. Nothing to do.\n"


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in S3_KEYS.items():
        monkeypatch.setenv(name, value)

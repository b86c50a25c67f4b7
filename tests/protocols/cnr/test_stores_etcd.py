"""Case 84 over etcd: every entry, several servers of one store, and what they say while it is away.

The cases of both protocols run over etcd from test_stores.py.
"""

import base64
import secrets
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.protocols.cnr.case_84 import two_servers
from tests.protocols.cnr.client import Cnr, done, refused
from tests.protocols.cnr.conftest import NewServer
from tests.services.etcd import Etcd, Member
from tests.services.storage import needs_files

pytestmark = needs_files  # which here only says: not once more within a run over another store


@pytest.fixture
def etcd(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Etcd]:
    """One member; a test's parameter is an option for it."""
    etcd = Etcd(tmp_path, *([request.param] if hasattr(request, "param") else []))
    yield etcd
    etcd.kill()


@pytest.fixture
def new_server(etcd: Etcd, new_server: NewServer) -> NewServer:
    """As everywhere; etcd outlives the servers, whose stores are looked at in the end."""
    return new_server


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn", "serve"])
def test_case_84_etcd_through_every_entry(new_server: NewServer, etcd: Etcd, entry: str) -> None:
    env = {"STORAGE": "etcd", "ETCD_HOST": etcd.members[0].endpoint}
    two_servers(new_server, entry, env, etcd.url("cnr/packages"))


@pytest.mark.parametrize("entry", ["uvicorn", "gunicorn"])
def test_an_etcd_that_goes_away_and_comes_back(new_server: NewServer, etcd: Etcd, entry: str) -> None:
    server = new_server(entry=entry, env={"STORAGE": etcd.url()})
    with httpx.Client(base_url=server.url, timeout=60) as http:
        cnr = Cnr(http, "")
        done(cnr.push("ns/app"))
        etcd.kill()
        reads = ("/api/v1/packages", "/api/v1/packages/ns/app/1.0.0/helm", "/v2/ns/app/tags/list", "/readyz")
        for path in reads:
            answer = http.get(path)
            assert answer.status_code == 503, (path, answer.text)
            assert int(answer.headers["retry-after"]) > 0
        refused(cnr.push("ns/app", "2.0.0"), 503, "unavailable")
        assert http.get("/healthz").status_code == 200
        etcd.start()
        while http.get("/readyz").status_code != 200:
            pass
        done(cnr.show("ns/app"))
        assert [item["name"] for item in done(cnr.get())] == ["ns/app"]
        done(cnr.push("ns/app", "2.0.0"))


@pytest.mark.parametrize("etcd", [f"--quota-backend-bytes={16 << 20}"], indirect=True, ids=["16MiB"])
def test_a_server_starts_on_a_full_etcd(new_server: NewServer, etcd: Etcd) -> None:
    """It serves what is there, refuses what would be new, and takes it as soon as there is room."""
    with httpx.Client(base_url=new_server("one", env={"STORAGE": etcd.url()}).url, timeout=60) as http:
        done(Cnr(http, "").push("ns/app"))
    fill(etcd.members[0])
    server = new_server("two", env={"STORAGE": etcd.url()})
    assert "what is pushed will be refused" in server.output()
    with httpx.Client(base_url=server.url, timeout=60) as http:
        cnr = Cnr(http, "")
        assert http.get("/readyz").status_code == 200
        done(cnr.show("ns/app"))
        assert [item["name"] for item in done(cnr.get())] == ["ns/app"]
        answer = cnr.push("ns/app", "2.0.0")
        refused(answer, 503, "unavailable")
        assert "NOSPACE" in answer.json()["error"]["message"]
        assert int(answer.headers["retry-after"]) > 0
        empty(etcd.members[0])
        done(cnr.push("ns/app", "2.0.0"))


def fill(member: Member) -> None:
    """Use up the quota with keys of somebody else."""
    for number in range(100):
        value = base64.b64encode(secrets.token_bytes(1 << 20)).decode()
        try:
            member.ask("kv/put", key=base64.b64encode(b"other/%d" % number).decode(), value=value)
        except urllib.error.HTTPError:
            return
    raise AssertionError("there is no quota")


def empty(member: Member) -> None:
    """Remove them, and do what gives the room back."""
    gone = member.ask(
        "kv/deleterange", key=base64.b64encode(b"other/").decode(), range_end=base64.b64encode(b"other0").decode()
    )
    header = gone["header"]
    assert isinstance(header, dict)
    member.ask("kv/compaction", revision=header["revision"], physical=True)
    member.ask("maintenance/defragment")
    alarms = member.ask("maintenance/alarm")["alarms"]
    assert isinstance(alarms, list)
    for alarm in alarms:
        member.ask("maintenance/alarm", action="DEACTIVATE", **alarm)
